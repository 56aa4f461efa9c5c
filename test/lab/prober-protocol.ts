import type { NoAnswer, TransportProtocol } from './traffic-protocol.js';

export interface ProberOptions {
  to: string;
  port: number;
  /** Default tcp. */
  proto?: TransportProtocol;
  /**
   * `attempts` (default): a new flow each time, which must be answered by an echo of what it sends. `longFlow`: one flow
   * with a ping in flight at all times that must survive.
   */
  kind?: 'attempts' | 'longFlow';
  /** Attempts or pings per second, default 100. */
  rate?: number;
  /** Of an attempt, default 900: shorter than the second after which the kernel sends a lost SYN again, so that one lost packet counts. */
  timeoutMs?: number;
  /** Source address. */
  from?: string;
}

export interface ProberReport {
  /** Counted from the first success on; what came before is in `beforeSettled`. */
  attempts: number;
  succeeded: number;
  /** No answer in time. */
  lost: number;
  refused: number;
  /** Reset, closed without an answer, or unreachable. */
  broken: number;
  /** The longest time between the starts of two successes that followed each other; the ends of the measurement count too. */
  longestGapMs: number;
  /** Slowest success. */
  longestAnswerMs: number;
  beforeSettled: number;
  /** The first 50 failures: when (ms since the first success) and how. */
  failures: { atMs: number; how: NoAnswer }[];
  /** Of a longFlow: whether its first connection was still in use at the end. */
  survived: boolean;
}

export type ProberEvent = { event: 'settled' } | { event: 'report'; report: ProberReport };
