import type { Violation } from './result.js';

export type PlacementStateWord = 'PENDING' | 'ACTIVE' | 'DEGRADED' | 'REJECTED' | 'EXPIRED' | 'UNKNOWN' | 'DISABLED';
export type ConditionStatusWord = 'true' | 'false' | 'unknown';
export type DriftCauseWord = 'missing' | 'altered' | 'shadowed' | 'foreign' | 'sysctl';

export type TargetHealthWord = 'unknown' | 'healthy' | 'unhealthy';

/** Traffic since the counters began; a counter may restart at zero. */
export interface Counters {
  /** Both directions. */
  readonly packets: number;
  readonly bytes: number;
  /** Flows that were opened. */
  readonly flows: number;
  /** Packets that the allow-list refused. */
  readonly refused: number;
}

/** A named, timed fact. */
export interface Condition {
  readonly type: string;
  readonly status: ConditionStatusWord;
  /** UPPER_SNAKE_CASE. */
  readonly reason: string;
  readonly message: string;
  /** Milliseconds since the epoch: since when the status is what it is. */
  readonly since: number;
}

/** Observed differs from last applied though nobody asked through us. Times in milliseconds since the epoch. */
export interface Drift {
  readonly cause: DriftCauseWord;
  /** The kernel object, for instance `nat/GWCTL-DISP`. */
  readonly object: string;
  readonly message: string;
  readonly detected: number;
  readonly repaired?: number;
  /** The process that changed it, where the kernel says so. */
  readonly process?: string;
}

export type { Violation };
