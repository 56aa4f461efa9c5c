import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runCli } from '../cli.js';
import { ConfigStore } from '../context/config-file.js';
import type { Clock, System } from '../system.js';
import type { FakeControlPlane } from './fake-control-plane.js';
import { TOKEN } from './fake-server.js';

/** A clock that stands still until a test moves it. */
export class TestClock implements Clock {
  #now = Date.UTC(2026, 0, 2, 12);
  #timers: { readonly at: number; readonly then: () => void }[] = [];
  #awaited: { readonly ms: number; readonly found: () => void }[] = [];

  now(): number {
    return this.#now;
  }

  after(ms: number, then: () => void): () => void {
    const timer = { at: this.#now + ms, then };
    this.#timers.push(timer);
    for (const awaited of this.#awaited.filter((a) => a.ms === ms)) {
      this.#awaited = this.#awaited.filter((a) => a !== awaited);
      awaited.found();
    }
    return () => {
      this.#timers = this.#timers.filter((t) => t !== timer);
    };
  }

  /** Resolves once somebody sets a timer for so many milliseconds from now on. */
  nextTimer(ms: number): Promise<void> {
    return new Promise((found) => this.#awaited.push({ ms, found }));
  }

  /** Moves on, and lets what is due happen in order. */
  advance(ms: number): void {
    this.#now += ms;
    const due = this.#timers.filter((t) => t.at <= this.#now).sort((a, b) => a.at - b.at);
    this.#timers = this.#timers.filter((t) => t.at > this.#now);
    for (const timer of due) timer.then();
  }
}

/** Adds the forward web on gw1. */
export const ADD = 'forward add web --gateway gw1 --listen 192.0.2.1:8080 --target 198.51.100.2:80';

export interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A place to run gwctl in: its own config file, clock and Ctrl-C. */
export class Sandbox {
  readonly clock = new TestClock();
  readonly dir: string;
  #interrupt: (() => void) | undefined;
  #ids = 0;

  private constructor(dir: string) {
    this.dir = dir;
  }

  static async make(): Promise<Sandbox> {
    return new Sandbox(await mkdtemp(join(tmpdir(), 'gwctl-cli-')));
  }

  get configPath(): string {
    return join(this.dir, 'gwctl', 'config.yaml');
  }

  /** Logged in, without going through `gwctl login`. */
  async logIn(fake: FakeControlPlane): Promise<void> {
    const stored = { name: 'default', server: fake.address, ca: fake.server.certificates.ca, token: TOKEN };
    await new ConfigStore({ path: this.configPath }).write({ current: 'default', contexts: [stored] });
  }

  /** Runs `gwctl WORDS`; a string is split at spaces. */
  async run(words: string | readonly string[], options: { readonly stdin?: string } = {}): Promise<Result> {
    let stdout = '';
    let stderr = '';
    const system: System = {
      environment: { configPath: this.configPath },
      clock: this.clock,
      stdout: (text) => {
        stdout += text;
      },
      stderr: (text) => {
        stderr += text;
      },
      readStdin: async () => options.stdin ?? '',
      newId: () => `id-${++this.#ids}`,
      onInterrupt: (then) => {
        this.#interrupt = then;
        return () => {
          this.#interrupt = undefined;
        };
      },
    };
    const code = await runCli(typeof words === 'string' ? words.split(' ').filter(Boolean) : words, system);
    return { code, stdout, stderr };
  }

  /** Ctrl-C. */
  interrupt(): void {
    this.#interrupt?.();
  }

  remove(): Promise<void> {
    return rm(this.dir, { recursive: true, force: true });
  }
}
