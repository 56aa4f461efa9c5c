import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, renameSync, statSync } from 'node:fs';
import type { Socket } from 'node:net';
import { PATH } from './exec.js';

/** Bytes of its log from which on a process begins a new one; one older is kept. */
const LOG_BYTES = 1024 * 1024;

/** Descriptor under which a detached process finds its channel; what it inherits comes after it, in order. */
export const CHANNEL = 3;
export const FIRST_INHERITED = CHANNEL + 1;

export interface DetachedCommand {
  /** Path of the program. */
  readonly program: string;
  readonly args: readonly string[];
  /** Where its standard error goes; made where it is missing. Standard output goes nowhere. */
  readonly log: string;
  /** Descriptors of ours that it gets, from {@link FIRST_INHERITED} on. */
  readonly descriptors?: readonly number[];
}

/** A process that outlives us. */
export interface DetachedProcess {
  readonly pid: number;
  /** To its descriptor {@link CHANNEL}; a stream both ways. */
  readonly channel: Socket;
  /** How it ended, for people, as long as we are there to see it. */
  readonly ended: Promise<string>;
  kill(signal: NodeJS.Signals): void;
}

export type StartDetached = (command: DetachedCommand) => Promise<DetachedProcess>;

/**
 * Starts a program in a session of its own: no signal to our process group reaches it, and it holds none of our streams. Of the
 * environment it gets a fixed PATH only. Rejects where it cannot be started.
 */
export const startDetached: StartDetached = (command) =>
  new Promise((resolve, reject) => {
    const log = openLog(command.log);
    let child: ChildProcess;
    try {
      child = spawn(command.program, [...command.args], {
        detached: true,
        cwd: '/',
        env: { PATH, LC_ALL: 'C' },
        stdio: ['ignore', 'ignore', log, 'pipe', ...(command.descriptors ?? [])],
      });
    } finally {
      closeSync(log);
    }
    const ended = new Promise<string>((end) => {
      child.once('exit', (code, signal) =>
        end(signal === null ? `it ended with exit code ${code}` : `it was ended by ${signal}`),
      );
    });
    child.once('error', reject);
    child.once('spawn', () => {
      child.unref();
      // Node.js makes its pipes sockets, which its types do not say.
      const channel = child.stdio[CHANNEL] as Socket;
      const { pid } = child;
      if (pid === undefined) reject(new Error(`${command.program} was started and has no process id`));
      else resolve({ pid, channel, ended, kill: (signal) => void child.kill(signal) });
    });
  });

function openLog(path: string): number {
  try {
    if (statSync(path).size > LOG_BYTES) renameSync(path, `${path}.1`);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  return openSync(path, 'a', 0o600);
}
