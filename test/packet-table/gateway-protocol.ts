/** What a spec and the program in the gateway's namespace say to each other: JSON lines. Types only. */
import type { RawEgressSpec } from '@gwctl/shared/domain/egress';
import type { RawTrafficSpec } from '@gwctl/shared/domain/forward';

/** A forward as it would come from the control plane. */
export interface WantedForward {
  readonly uid: string;
  readonly name: string;
  readonly spec: RawTrafficSpec;
}

/** An egress as it would come from the control plane. */
export interface WantedEgress {
  readonly uid: string;
  readonly name: string;
  readonly spec: RawEgressSpec;
}

/** All that one reconcile starts from, beside what is read from the host. */
export interface Wanted {
  readonly forwards: readonly WantedForward[];
  readonly egresses: readonly WantedEgress[];
  /** Good answers of a DNS server, by name. A name that is not among them was never resolved. */
  readonly names: Readonly<Record<string, readonly string[]>>;
  /** Targets that did not answer their health check: `ADDRESS:PORT`, or the address alone where there is no port. */
  readonly unhealthy: readonly string[];
}

export type GatewayCommand =
  /** A driver without memory, as a fresh agent would have. */
  | {
      op: 'start';
      driver: 'auto' | 'iptables' | 'nftables' | 'iptables-nft' | 'iptables-legacy' | 'relay';
      stateDir: string;
      relayEngine?: 'native' | 'portable';
    }
  /** One reconcile. `fresh`: read everything back instead of trusting the mirror. */
  | ({ op: 'want'; fresh: boolean } & Wanted)
  /** Read back and compare with what was last applied. */
  | { op: 'look' }
  /** What passed so far. */
  | { op: 'count' }
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
  /** By name: `place`, `place-egress`, `wait`, `disabled`, `expired` or the reason of the refusal. */
  readonly verdicts: Readonly<Record<string, string>>;
  /** Titles. */
  readonly steps: readonly string[];
  /** From desired state to applied and read back. */
  readonly ms: number;
  /** Reasons, by type. */
  readonly conditions: Readonly<Record<string, string>>;
  /** Their messages, by type. */
  readonly told: Readonly<Record<string, string>>;
  /** What the driver found of single forwards, by name: the reason. */
  readonly findings: Readonly<Record<string, string>>;
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

/** By name of the forward or egress; the driver's own words. */
export interface Counted {
  readonly counters: Readonly<
    Record<string, { readonly packets: number; readonly bytes: number; readonly flows: number; readonly refused: number }>
  >;
}

export interface Seen {
  readonly processes: readonly string[];
}
