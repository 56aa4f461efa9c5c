import type { Environment } from './config/environment.js';

/** Time, so that tests own it. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Calls `then` after so many milliseconds; what it returns calls it off. */
  after(ms: number, then: () => void): () => void;
}

/** All that a run of gwctl has of the world but files and the network. */
export interface System {
  readonly environment: Environment;
  readonly clock: Clock;
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
  /** Everything from standard input. */
  readonly readStdin: () => Promise<string>;
  readonly newId: () => string;
  /** Calls `then` on the first Ctrl-C; what it returns takes the handler away. */
  readonly onInterrupt: (then: () => void) => () => void;
}
