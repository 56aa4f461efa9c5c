import { spawn } from 'node:child_process';
import { closeSync } from 'node:fs';
import type { AppError } from '@gwctl/shared/errors/app-error';
import { ProcessConversation, type Streams } from './conversation.js';
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
import { ReadyProcess } from './ready-process.js';
import { AT_ONCE, wholeInput } from './whole-input.js';

export { commandFailed, programMissing } from './exec-errors.js';

/** What is to run. There is no shell: every argument reaches the program as it stands here. */
export interface Command {
  /** A bare name, searched in {@link PATH}. */
  readonly program: string;
  readonly args: readonly string[];
  /** Standard input, of which the program gets all even where this process is killed meanwhile. Default: nothing. */
  readonly stdin?: string;
  /** Milliseconds until the process is killed. Default 10,000. */
  readonly timeoutMs?: number;
  /** The most bytes of standard output that are kept; more of it ends the process. Default 64 MiB. */
  readonly maxOutputBytes?: number;
  /** Do not keep standard output. */
  readonly discardOutput?: boolean;
  /**
   * A line of standard output that says all is done. The result then counts as exit code 0 without waiting for the process to end;
   * its time-out still holds.
   */
  readonly untilLine?: string;
}

/** A process that ended by itself, with whatever exit code. */
export interface Finished {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Running {
  /** Undefined where the program could not be started. */
  readonly pid: number | undefined;
  /** Rejects with an {@link AppError}: PROGRAM_MISSING, TIMED_OUT, OUTPUT_TOO_LONG, PROGRAM_KILLED or START_FAILED. */
  readonly finished: Promise<Finished>;
}

/** A program that is talked to line by line. It is ended when nobody spoke to it for its idle time. */
export interface Conversation {
  /** False once it has ended: then begin another. */
  readonly alive: boolean;
  /**
   * Writes `text` and gives back what the program printed up to and including `untilLine`. Rejects with COMMAND_FAILED and what it
   * said where it ends instead, and as {@link Running.finished} does. One at a time.
   */
  say(text: string, untilLine: string): Promise<string>;
}

/** A program that was started ahead and waits for its standard input; its output is not kept. */
export interface Ready {
  /** False once it ended, or has its input. */
  readonly alive: boolean;
  /**
   * Gives it its whole input and waits for its end. Once. Rejects as {@link Running.finished} does; the time-out begins here. At most
   * {@link AT_ONCE} bytes: of more, this process may be killed half-way, which `start` rules out.
   */
  finish(stdin: string): Promise<Finished>;
}

/** The one door to processes. */
export interface Exec {
  start(command: Command): Running;
  /** Starts a program to talk to. `timeoutMs` of the command holds for each `say`. */
  converse(command: Omit<Command, 'stdin' | 'untilLine' | 'discardOutput'>, idleMs: number): Conversation;
  /** Starts a program that ends without doing anything when its input is empty, so that later nobody waits for it to start. */
  ready(command: Omit<Command, 'stdin' | 'untilLine' | 'discardOutput' | 'maxOutputBytes'>): Ready;
  /** `start` and wait. */
  run(command: Command): Promise<Finished>;
  /** Whether a process of ours has, or lately had, this id: tells our own changes in the kernel from others'. */
  isOwn(pid: number): boolean;
}

/** Where programs are searched: fixed, so that an inherited PATH decides nothing. */
export const PATH = '/usr/sbin:/usr/bin:/sbin:/bin';
/** Announcements of the kernel may arrive a little after the process is gone. */
const REMEMBERED_PIDS = 256;

export class ProcessExec implements Exec {
  readonly #pids = new RecentPids();

  isOwn(pid: number): boolean {
    return this.#pids.has(pid);
  }

  run(command: Command): Promise<Finished> {
    return this.start(command).finished;
  }

  converse(command: Omit<Command, 'stdin' | 'untilLine' | 'discardOutput'>, idleMs: number): Conversation {
    const options = { env: { PATH, LC_ALL: 'C' }, cwd: '/', stdio: ['pipe', 'pipe', 'pipe'] } as const;
    // Node.js makes its pipes sockets, which its types do not say.
    const child = spawn(command.program, [...command.args], { ...options, stdio: [...options.stdio] }) as unknown as Streams;
    return new ProcessConversation({ command, child, idleMs, used: (pid) => this.#pids.add(pid) });
  }

  ready(command: Parameters<Exec['ready']>[0]): Ready {
    const child = spawn(command.program, [...command.args], {
      env: { PATH, LC_ALL: 'C' },
      cwd: '/',
      stdio: ['pipe', 'ignore', 'pipe'],
    });
    return new ReadyProcess({ command, child, used: (pid) => this.#pids.add(pid) });
  }

  start(command: Command): Running {
    let input: 'ignore' | 'pipe' | number;
    try {
      input = inputOf(command);
    } catch (cause) {
      return { pid: undefined, finished: Promise.reject(startFailed(command, cause as Error)) };
    }
    const child = spawn(command.program, [...command.args], {
      // Nothing of our environment is any business of theirs; C keeps their messages parseable.
      env: { PATH, LC_ALL: 'C' },
      cwd: '/',
      stdio: [input, command.discardOutput ? 'ignore' : 'pipe', 'pipe'],
    });
    if (typeof input === 'number') closeSync(input);
    if (child.pid !== undefined) this.#pids.add(child.pid);
    const limit = command.maxOutputBytes ?? DEFAULT_OUTPUT_BYTES;
    const timeout = command.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    const finished = new Promise<Finished>((resolve, reject) => {
      // What it started may live on and keep its pipes open; nobody waits for that.
      const giveUp = (error: AppError) => {
        child.kill('SIGKILL');
        reject(error);
      };
      const timer = setTimeout(() => giveUp(timedOut(command, timeout)), timeout);
      const out: Buffer[] = [];
      const errors: Buffer[] = [];
      let outBytes = 0;
      let errorBytes = 0;
      const end = command.untilLine === undefined ? undefined : `${command.untilLine}\n`;
      child.stdout?.on('data', (chunk: Buffer) => {
        outBytes += chunk.length;
        if (outBytes > limit) giveUp(tooLong(command, limit));
        else out.push(chunk);
        if (end !== undefined && text(out.slice(-2)).endsWith(end))
          resolve({ exitCode: 0, stdout: text(out), stderr: text(errors) });
      });
      child.stderr?.on('data', (chunk: Buffer) => {
        if (errorBytes < MAX_STDERR_BYTES) errors.push(chunk);
        errorBytes += chunk.length;
      });
      // A program that ends without reading its input makes the pipe fail; its exit code and messages say more.
      child.stdin?.on('error', () => undefined);
      child.stdin?.end(command.stdin);
      child.on('error', (cause) => {
        clearTimeout(timer);
        reject(startFailed(command, cause));
      });
      child.on('close', (code, signal) => {
        clearTimeout(timer);
        if (code === null) reject(killed(command, signal));
        else resolve({ exitCode: code, stdout: text(out), stderr: text(errors).slice(0, MAX_STDERR_BYTES) });
      });
    });
    return { pid: child.pid, finished };
  }
}

const inputOf = ({ stdin }: Command): 'ignore' | 'pipe' | number => {
  if (stdin === undefined) return 'ignore';
  return Buffer.byteLength(stdin) <= AT_ONCE ? 'pipe' : wholeInput(stdin);
};

/** Runs a command that must succeed: an exit code other than 0 rejects with COMMAND_FAILED and what the program said. */
export async function mustRun(exec: Exec, command: Command): Promise<Finished> {
  const finished = await exec.run(command);
  if (finished.exitCode === 0) return finished;
  throw commandFailed(command, finished);
}

const text = (chunks: readonly Buffer[]) => Buffer.concat(chunks).toString('utf8');

/** The last process ids, oldest forgotten first. */
export class RecentPids {
  readonly #pids = new Set<number>();

  add(pid: number): void {
    this.#pids.delete(pid);
    this.#pids.add(pid);
    const oldest = this.#pids.values().next();
    if (this.#pids.size > REMEMBERED_PIDS && !oldest.done) this.#pids.delete(oldest.value);
  }

  has(pid: number): boolean {
    return this.#pids.has(pid);
  }
}
