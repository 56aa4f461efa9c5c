import type { Labels } from '../flags/labels.js';

/** What every resource has. Times are RFC 3339 in UTC. Output only but for name and labels. */
export interface Metadata {
  readonly name: string;
  readonly labels: Labels;
  readonly uid?: string;
  readonly etag?: string;
  readonly generation?: number;
  readonly createTime?: string;
  readonly updateTime?: string;
}

/** A named, timed fact. */
export interface ConditionResource {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly message: string;
  readonly transitionTime?: string;
  readonly revision?: number;
}

export interface DriftResource {
  readonly cause: string;
  readonly object: string;
  readonly message: string;
  readonly detectedTime?: string;
  /** Absent: not repaired yet. */
  readonly repairedTime?: string;
  readonly process?: string;
}

export interface ViolationResource {
  readonly field: string;
  readonly description: string;
}

/**
 * A word of the domain, or the text that stands for a value of a newer control plane's.
 * The intersection keeps the known words visible to the type checker.
 */
export type Word<T extends string> = T | (string & {});
