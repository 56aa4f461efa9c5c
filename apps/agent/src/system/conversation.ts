import type { ChildProcessByStdio } from 'node:child_process';
import type { Socket } from 'node:net';
import type { AppError } from '@gwctl/shared/errors/app-error';
import type { Command, Conversation } from './exec.js';
import {
  commandFailed,
  DEFAULT_OUTPUT_BYTES,
  DEFAULT_TIMEOUT_MS,
  killed,
  MAX_STDERR_BYTES,
  startFailed,
  timedOut,
  tooLong,
} from './exec-errors.js';

export type Streams = ChildProcessByStdio<Socket, Socket, Socket>;

interface Asked {
  readonly end: string;
  readonly resolve: (printed: string) => void;
  readonly reject: (error: AppError) => void;
  readonly timer: NodeJS.Timeout;
}

/** Where a process talks for long, it must not keep ours from ending: it is only held on to while an answer is awaited. */
export class ProcessConversation implements Conversation {
  readonly #command: Command;
  readonly #child: Streams;
  readonly #used: (pid: number) => void;
  readonly #idle: NodeJS.Timeout;
  #printed = '';
  #errors = '';
  #asked: Asked | undefined;
  #ended = false;

  constructor(options: {
    readonly command: Command;
    readonly child: Streams;
    readonly idleMs: number;
    readonly used: (pid: number) => void;
  }) {
    const { command, child, idleMs } = options;
    this.#command = command;
    this.#child = child;
    this.#used = options.used;
    this.#idle = setTimeout(() => this.#finish(), idleMs).unref();
    child.stdout.setEncoding('utf8').on('data', (text: string) => this.#received(text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#errors = (this.#errors + text).slice(-MAX_STDERR_BYTES);
    });
    // When it ends without reading, its end says more.
    child.stdin.on('error', () => undefined);
    child.on('error', (cause) => this.#over(startFailed(command, cause)));
    child.on('close', (code, signal) => {
      const finished = { exitCode: code ?? -1, stdout: '', stderr: this.#errors };
      this.#over(code === null ? killed(command, signal) : commandFailed(command, finished));
    });
    this.#hold(false);
  }

  get alive(): boolean {
    return !this.#ended;
  }

  say(text: string, untilLine: string): Promise<string> {
    if (this.#asked) throw new Error('one question at a time');
    const { pid } = this.#child;
    if (pid !== undefined) this.#used(pid);
    const timeout = this.#command.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    this.#idle.refresh();
    this.#hold(true);
    this.#printed = '';
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#giveUp(timedOut(this.#command, timeout)), timeout);
      this.#asked = { end: `${untilLine}\n`, resolve, reject, timer };
      this.#child.stdin.write(text);
    });
  }

  #received(text: string): void {
    this.#printed += text;
    const limit = this.#command.maxOutputBytes ?? DEFAULT_OUTPUT_BYTES;
    if (this.#printed.length > limit) this.#giveUp(tooLong(this.#command, limit));
    if (this.#asked === undefined || !this.#printed.endsWith(this.#asked.end)) return;
    const { resolve, timer } = this.#asked;
    clearTimeout(timer);
    this.#asked = undefined;
    this.#hold(false);
    resolve(this.#printed);
  }

  #giveUp(error: AppError): void {
    this.#child.kill('SIGKILL');
    // What it started may live on and keep its pipes open; nobody waits for that.
    this.#over(error);
  }

  #finish(): void {
    this.#ended = true;
    this.#child.stdin.end();
  }

  #over(error: AppError): void {
    this.#ended = true;
    clearTimeout(this.#idle);
    const asked = this.#asked;
    this.#asked = undefined;
    if (!asked) return;
    clearTimeout(asked.timer);
    asked.reject(error);
  }

  #hold(on: boolean): void {
    const { stdin, stdout, stderr } = this.#child;
    for (const handle of [this.#child, stdin, stdout, stderr])
      if (on) handle.ref();
      else handle.unref();
  }
}
