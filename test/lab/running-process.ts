import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { CommandError, signalGroup, signalNumber } from './command.js';
import { descendants, isAlive, killIfThere } from './processes.js';

export interface ProcessEnd {
  code: number | null;
  signal: NodeJS.Signals | null;
}

/** A program that keeps running in a host. Ended by `stop`, or by the teardown of the lab at the latest. */
export class RunningProcess {
  /** What it wrote so far. `output` holds both streams in the order in which they arrived. */
  stdout = '';
  stderr = '';
  output = '';
  /** Comes true when it has ended and all it wrote has been read. Never rejects. */
  readonly exited: Promise<ProcessEnd>;
  #end: ProcessEnd | undefined;
  /** The program has ended; its output may not have been read yet. */
  readonly #gone: Promise<void>;
  readonly #listeners = new Set<() => void>();

  constructor(
    readonly argv: readonly string[],
    private readonly child: ChildProcessWithoutNullStreams,
  ) {
    const collect = (stream: 'stdout' | 'stderr') => (text: string) => {
      this[stream] += text;
      this.output += text;
      this.#announce();
    };
    child.stdout.setEncoding('utf8').on('data', collect('stdout'));
    child.stderr.setEncoding('utf8').on('data', collect('stderr'));
    child.stdin.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') this.output += `\n[standard input: ${error.message}]\n`;
    });
    this.exited = new Promise((resolve) => {
      const ended = (end: ProcessEnd) => {
        if (this.#end) return;
        this.#end = end;
        this.#announce();
        resolve(end);
      };
      child.on('error', (error) => {
        this.output += `\n[cannot start: ${error.message}]\n`;
        ended({ code: null, signal: null });
      });
      child.on('close', (code, signal) => ended({ code, signal }));
      // Its children may have inherited the pipes and keep them open.
      child.on('exit', (code, signal) => setTimeout(() => ended({ code, signal }), 200).unref());
    });
    this.#gone = new Promise((resolve) => {
      child.on('exit', () => resolve());
      child.on('error', () => resolve());
    });
  }

  get pid(): number {
    if (this.child.pid === undefined) throw new Error(`${this.argv.join(' ')}: did not start`);
    return this.child.pid;
  }

  get running(): boolean {
    return this.#end === undefined;
  }

  get end(): ProcessEnd | undefined {
    return this.#end;
  }

  get stdoutStream(): ChildProcessWithoutNullStreams['stdout'] {
    return this.child.stdout;
  }

  get stdin(): ChildProcessWithoutNullStreams['stdin'] {
    return this.child.stdin;
  }

  /** Sends a signal to the program itself. */
  kill(signal: NodeJS.Signals = 'SIGTERM'): void {
    this.child.kill(signal);
  }

  /** Awaits text in the output, from the start or from a length of `output` remembered earlier. Fails when the program ends first. */
  async waitForOutput(pattern: RegExp, { timeoutMs = 10_000, from = 0 } = {}): Promise<RegExpExecArray> {
    const found = await this.#until(() => pattern.exec(this.output.slice(from)), timeoutMs, `no output like ${pattern}`);
    return found;
  }

  /** Awaits the end. Fails after the time-out. */
  async waitForExit({ timeoutMs = 10_000 } = {}): Promise<ProcessEnd> {
    if (this.#end) return this.#end;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(this.failure(`still running after ${timeoutMs} ms`)), timeoutMs);
    });
    return Promise.race([this.exited, late]).finally(() => clearTimeout(timer));
  }

  /**
   * Ends the program and everything below it: first politely, after `timeoutMs` (default 5000) with SIGKILL.
   * @returns how the program itself ended
   */
  async stop(signal: NodeJS.Signals = 'SIGTERM', { timeoutMs = 5000 } = {}): Promise<ProcessEnd> {
    if (this.child.pid === undefined) return this.exited;
    const family = descendants(this.child.pid);
    if (this.running) {
      this.child.kill(signal);
      const timer = setTimeout(() => this.child.kill('SIGKILL'), timeoutMs);
      await this.#gone;
      clearTimeout(timer);
    }
    signalGroup(this.child.pid, 'SIGKILL');
    for (const { pid, started } of family) if (isAlive(pid, started)) killIfThere(pid);
    return this.exited;
  }

  /** An error that carries what the program wrote. */
  failure(what: string): CommandError {
    const code = this.#end ? (this.#end.code ?? 128 + (signalNumber[this.#end.signal ?? ''] ?? 0)) : 0;
    return new CommandError(this.argv, { code, stdout: this.stdout, stderr: this.stderr }, what);
  }

  #announce(): void {
    for (const listener of [...this.#listeners]) listener();
  }

  #until<T>(look: () => T | null, timeoutMs: number, what: string): Promise<T> {
    return new Promise((resolve, reject) => {
      const settle = (act: () => void) => {
        this.#listeners.delete(check);
        clearTimeout(timer);
        act();
      };
      const check = () => {
        const found = look();
        if (found !== null) settle(() => resolve(found));
        else if (this.#end) settle(() => reject(this.failure(`ended (${JSON.stringify(this.#end)}), ${what}`)));
      };
      const timer = setTimeout(() => settle(() => reject(this.failure(`${what} within ${timeoutMs} ms`))), timeoutMs);
      this.#listeners.add(check);
      check();
    });
  }
}
