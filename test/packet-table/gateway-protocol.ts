/** What a spec and the program in the gateway's namespace say to each other: JSON lines. Types only. */
import type { RawTrafficSpec } from '@gwctl/shared/domain/forward';

/** A forward as it would come from the control plane. */
export interface WantedForward {
  readonly uid: string;
  readonly name: string;
  readonly spec: RawTrafficSpec;
}

export type GatewayCommand =
  /** A driver without memory, as a fresh agent would have. */
  | { op: 'start'; driver: 'auto' | 'nftables' | 'iptables-nft' | 'iptables-legacy'; stateDir: string }
  /** One reconcile. `fresh`: read everything back instead of trusting the mirror. */
  | { op: 'want'; forwards: readonly WantedForward[]; fresh: boolean }
  /** Read back and compare with what was last applied. */
  | { op: 'look' }
  | { op: 'cleanUp' }
  | { op: 'cleanLeftovers' }
  | { op: 'watch' }
  /** Who changed rules since the last such question, as the kernel told. */
  | { op: 'seen' };

export interface Started {
  readonly driver: string;
  readonly capabilities: readonly { readonly name: string; readonly supported: boolean; readonly detail: string }[];
}

export interface Reconciled {
  /** By name: `place`, `disabled`, `expired` or the reason of the refusal. */
  readonly verdicts: Readonly<Record<string, string>>;
  /** Titles. */
  readonly steps: readonly string[];
  /** From desired state to applied and read back. */
  readonly ms: number;
  readonly conditions: Readonly<Record<string, string>>;
}

export interface Looked {
  /** Cause, object and the names of the forwards concerned. */
  readonly drift: readonly {
    readonly cause: string;
    readonly object: string;
    readonly message: string;
    readonly forwards: readonly string[];
  }[];
}

export interface Seen {
  readonly processes: readonly string[];
}
