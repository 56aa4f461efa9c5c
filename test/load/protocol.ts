/** What load programs are asked for: one JSON command a line, one JSON answer a line. */

interface To {
  readonly to: string;
  readonly port: number;
}

export type LoadCommand =
  /** Sends for `ms` on so many connections, as fast as they take it. Answers when they are closed. */
  | (To & { readonly op: 'stream'; readonly streams: number; readonly ms: number })
  /** Connects, sends 64 bytes, awaits them back, closes; `concurrency` at a time. */
  | (To & { readonly op: 'short'; readonly concurrency: number; readonly ms: number })
  /** Sends 64 bytes and awaits them back, one at a time on an open connection: a new one, or (`kept`) that of the time before. */
  | (To & { readonly op: 'latency'; readonly ms: number; readonly kept?: boolean })
  /**
   * Opens connections from these addresses in turn and keeps them open until `release`. With `echo` 64 bytes are sent on each; it answers
   * when all have come back, or `ms` are over.
   */
  | (To & {
      readonly op: 'hold';
      readonly from: readonly string[];
      readonly count: number;
      readonly echo: boolean;
      readonly ms: number;
    })
  /** Goes on with what `hold` awaits, for so long at most. */
  | { readonly op: 'await'; readonly ms: number }
  /** Sends 64 bytes on each of the connections that are held, in turn, and awaits them back; `concurrency` at a time. */
  | { readonly op: 'exchange'; readonly concurrency: number; readonly ms: number }
  /** Closes what is held, by a reset. */
  | { readonly op: 'release' }
  /** Begins so many handshakes and forgets them. Whoever asks sees to it that no answer arrives, which would be reset. */
  | (To & { readonly op: 'halfOpen'; readonly from: string; readonly count: number })
  /** Keeps `window` datagrams of `bytes` under way on each of so many sockets; counts what comes back. */
  | (To & {
      readonly op: 'datagrams';
      readonly sockets: number;
      readonly window: number;
      readonly bytes: number;
      readonly ms: number;
    });

export type CommandOf<Op extends LoadCommand['op']> = Extract<LoadCommand, { op: Op }>;

export interface LoadAnswer {
  /** Why it did not work. */
  readonly error?: string;
  /** Done in the time: connections, answers, datagrams. Of `hold` and `await`: all that were answered so far. */
  readonly count?: number;
  /** Of `short`: connections that failed; of `hold`: that were refused or reset; of `datagrams`: lost. */
  readonly failed?: number;
  /** Milliseconds that were measured. */
  readonly ms?: number;
  /** Of `latency`: microseconds. */
  readonly p50?: number;
  readonly p99?: number;
}

/** What the target says when asked with an empty line. */
export interface TargetAnswer {
  /** Received on the ports that discard. */
  readonly bytes: number;
  /** Open now. */
  readonly connections: number;
  /** Milliseconds of a clock that only goes on, when it was read. */
  readonly at: number;
}
