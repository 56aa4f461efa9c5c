/** What the planner takes and gives. Pure data: no driver, no wire type, no clock. */
import type { EgressSpec } from '@gwctl/shared/domain/egress';
import type { Affinity, OnChange, Protocol, TrafficSpec } from '@gwctl/shared/domain/forward';
import type { Cidr, Family, IpAddress } from '@gwctl/shared/domain/ip';
import type { PortRange } from '@gwctl/shared/domain/ports';
import type { Violation } from '@gwctl/shared/domain/result';
import type { Condition, TargetHealthWord } from '@gwctl/shared/domain/status';
import type { RelayedForward } from '../relay/types.js';
import type { Listed, SortedList } from './sorted-list.js';

/** One forward as the control plane wants it, checked. */
export interface DesiredForward {
  readonly uid: string;
  readonly generation: number;
  /** For people (status, events); never for a rule. */
  readonly name: string;
  readonly spec: TrafficSpec;
}

/** One egress as the control plane wants it, checked. */
export interface DesiredEgress {
  readonly uid: string;
  readonly generation: number;
  /** For people; never for a rule. */
  readonly name: string;
  readonly spec: EgressSpec;
}

/** What is known of a name. The same object for as long as nothing changed. */
export interface Resolution {
  /** Of the last good answer, of both families, sorted; empty before the first. */
  readonly addresses: readonly IpAddress[];
  /** Whether {@link addresses} is the answer of a server within its time. */
  readonly fresh: boolean;
  /** Milliseconds since the epoch: when the last good answer came; undefined where none ever did. */
  readonly answered?: number;
  /** Why there is no fresh answer, for people: `NXDOMAIN from 10.0.0.2:53`. */
  readonly trouble?: string;
}

/** Whether a target was last found up. Undefined: not asked, or not yet. */
export interface Health {
  readonly state: TargetHealthWord;
  /** Microseconds that a connection took, of the last good probe. */
  readonly rttUs?: number;
  /** Why it is unhealthy, for people. */
  readonly trouble?: string;
}

/** A socket of the host that waits for traffic. */
export interface LocalSocket {
  readonly protocol: 'tcp' | 'udp';
  /** Undefined: wildcard. */
  readonly address?: IpAddress;
  readonly port: number;
  /** Program and process id where they could be read. */
  readonly owner?: string;
}

/** An address of the gateway on an interface. */
export interface HostAddress {
  readonly address: IpAddress;
  readonly prefix: number;
  readonly interface: string;
  /** There only because the agent announces it for a forward: it is none of the gateway's own. */
  readonly announced?: boolean;
}

/** Traffic that no forward may take. `reason` says what it is. */
export interface ProtectedListener {
  /** The host's sshd, which a forward may take over when it says so, or the agent's own connection, which none ever may. */
  readonly kind: 'ssh' | 'control';
  readonly protocol: 'tcp' | 'udp';
  /** Undefined: on every address. */
  readonly address?: IpAddress;
  readonly port: number;
  readonly reason: string;
}

/** What the planner must know of the host, read by system/ before planning. */
export interface HostFacts {
  readonly addresses: readonly HostAddress[];
  readonly interfaces: readonly string[];
  readonly sockets: readonly LocalSocket[];
  readonly protected: readonly ProtectedListener[];
}

/** Where a placed forward sends flows now: an address that is resolved and in rotation. */
export interface PlacedTarget {
  readonly address: IpAddress;
  /** What the listener's first port goes to; further ones keep their distance. Undefined exactly for protocol `all`. */
  readonly port?: number;
  /** Share among the targets, at least 1. */
  readonly weight: number;
}

/** A forward that the driver is to carry; everything in it is typed, resolved and safe to render. */
export interface PlacedForward {
  readonly uid: string;
  readonly generation: number;
  /** Eight hex digits of SHA-256 of the uid: names chains and comments. */
  readonly key: string;
  /** Of listener and targets alike. */
  readonly family: Family;
  readonly listen: {
    readonly address?: IpAddress;
    readonly interface?: string;
    /** `all` has an address, exactly one target, and no ports. */
    readonly protocol: Protocol;
    readonly ports?: PortRange;
  };
  /** At least one, by address and port, each once. */
  readonly targets: readonly PlacedTarget[];
  /** Targets that were found down and are left out for that: flows to them are beyond saving, and end unless they are to be kept. */
  readonly down?: readonly PlacedTarget[];
  /** `client`: all flows of one source address go to the same target (see planner/ring). Matters only with several targets. */
  readonly affinity: Affinity;
  /** Merged and sorted; undefined: anyone; empty: nobody (names that never resolved). */
  readonly allow?: readonly Cidr[];
  readonly snat: { readonly mode: 'masquerade' | 'none' } | { readonly mode: 'address'; readonly address: IpAddress };
  readonly onChange: OnChange;
  /** TCP ports of the listener that carry FTP control connections. */
  readonly ftp?: PortRange;
  readonly clampMss: boolean;
  /**
   * The gateway's own networks that a target lies in. Their hosts reach the target directly, so it must see their flows come from the
   * gateway whatever `snat` says: otherwise it answers them past the gateway.
   */
  readonly hairpin: readonly { readonly network: Cidr; readonly target: IpAddress }[];
}

/** An egress that the driver is to carry. */
export interface PlacedEgress {
  readonly uid: string;
  readonly generation: number;
  /** As of a forward. */
  readonly key: string;
  readonly family: Family;
  /** Merged and sorted; at least one. */
  readonly sources: readonly Cidr[];
  readonly outInterface: string;
  readonly snat: { readonly mode: 'masquerade' } | { readonly mode: 'address'; readonly address: IpAddress };
  /** Destinations that are left alone: what was asked for, multicast, and the sources themselves. Merged and sorted. */
  readonly except: readonly Cidr[];
}

/** An address that the gateway is to answer for although it is nobody's. */
export interface AnnouncedAddress {
  readonly address: IpAddress;
  /** Where its neighbours are. */
  readonly interface: string;
  /** Keys of the forwards that announce it. */
  readonly forwards: readonly string[];
  /** The relay listens on it, so that it must be there first. */
  readonly bound?: boolean;
}

/** What a driver can carry; the planner refuses the rest with reasons. */
export interface DriverCapabilities {
  readonly families: readonly Family[];
  readonly protocols: readonly Protocol[];
  /** Listeners of more than one port. */
  readonly portRanges: boolean;
  /** The most targets of one forward. */
  readonly targets: number;
  /** The most targets of one forward whose clients stay with theirs; 0: no affinity at all. */
  readonly affinityTargets: number;
  readonly announce: boolean;
  readonly ftp: boolean;
  readonly clampMss: boolean;
  readonly egress: boolean;
  /** Whether it is a kernel driver or the relay: what a forward's `driver` asks for. */
  readonly kind: 'kernel' | 'relay';
}

/** What the relay can carry: what its nature leaves out is in @gwctl/shared/domain/carriers. */
export type RelayCapabilities = Pick<DriverCapabilities, 'families' | 'targets' | 'announce'>;

/** Who is there to carry forwards. */
export interface Carriers {
  /** Undefined where the agent runs with the relay alone. */
  readonly kernel?: DriverCapabilities;
  /** Undefined where no relay runs. */
  readonly relay?: RelayCapabilities;
  /** Why there is no kernel driver, for people. */
  readonly without?: string;
}

/** Why the relay carries a forward: it asks for it, the kernel cannot, or there is nothing else on this gateway. */
export type RelayReason = 'RELAY_CHOSEN' | 'RELAY_NEEDED' | 'RELAY_ONLY';

/** A forward that the relay is to carry, with the key that steps, counters and rules know it by. */
export interface PlacedRelayed extends RelayedForward {
  /** As of {@link PlacedForward}. */
  readonly key: string;
}

/** What the host should look like: the input of every driver's render. */
export interface HostDesired {
  /** Those that the kernel carries, in order of uid. The same object for as long as none is another. */
  readonly forwards: Listed<PlacedForward>;
  /** Those that the relay carries, in order of uid. The same object for as long as none is another. */
  readonly relayed: Listed<PlacedRelayed>;
  /** In order of uid. */
  readonly egresses: readonly PlacedEgress[];
  readonly protected: readonly ProtectedListener[];
  /** In order of address. */
  readonly announced: readonly AnnouncedAddress[];
}

/** What a verdict says of one target, in rotation or not. */
export interface TargetView {
  /** As the spec names it. */
  readonly host: string;
  readonly address: string;
  /** 0: the listener's own ports. */
  readonly port: number;
  readonly health?: Health;
}

/** The same object for as long as nothing about it changed. */
export type Verdict =
  | {
      readonly kind: 'place';
      readonly forward: PlacedForward;
      readonly clientAddress: string;
      /** Every address of every target, also those that are left out. */
      readonly targets: readonly TargetView[];
      /** The same as addresses, in rotation or not. */
      readonly addresses: readonly PlacedTarget[];
      /** What keeps it from being entirely well: a stale name, an unhealthy target. Empty where nothing does. */
      readonly remarks: readonly Omit<Condition, 'since'>[];
    }
  | {
      readonly kind: 'relay';
      readonly forward: PlacedRelayed;
      readonly clientAddress: string;
      readonly targets: readonly TargetView[];
      readonly addresses: readonly PlacedTarget[];
      readonly remarks: readonly Omit<Condition, 'since'>[];
      readonly reason: RelayReason;
      /** Why the relay carries it, for people. */
      readonly because: string;
    }
  | { readonly kind: 'place-egress'; readonly egress: PlacedEgress }
  /** Nothing can be carried yet, by nobody's decision: a name that never resolved. */
  | { readonly kind: 'wait'; readonly remarks: readonly Omit<Condition, 'since'>[] }
  | { readonly kind: 'reject'; readonly violations: readonly Violation[]; readonly reason: string }
  | { readonly kind: 'disabled' }
  | { readonly kind: 'expired' };

/** The verdict on one entry of the desired state. The same object for as long as nothing about it changed. */
export interface Judgement {
  readonly uid: string;
  readonly generation: number;
  readonly name: string;
  /** Of a forward that could be read. */
  readonly spec?: TrafficSpec;
  readonly verdict: Verdict;
  /** In place although this speaks against it: a local program that came later has its port. */
  readonly contended?: { readonly reason: string; readonly violations: readonly Violation[] };
}

/** The planner's answer: every entry has exactly one judgement. */
export interface Planned {
  readonly host: HostDesired;
  readonly judgements: SortedList<Judgement>;
  /** Names that targets and allow-lists are made of. The same object for as long as they are the same. */
  readonly names: ReadonlySet<string>;
  /** When the next forward expires, in milliseconds since the epoch. */
  readonly nextExpiry?: number;
  /** A forward waits for something of the host to change, for instance for its port to become free. */
  readonly awaitsHost: boolean;
}

/** An entry of the desired state, as far as it could be read. An entry that cannot be read concerns nobody else. */
export type ReadEntry =
  | { readonly kind: 'forward'; readonly uid: string; readonly forward: DesiredForward }
  | { readonly kind: 'egress'; readonly uid: string; readonly egress: DesiredEgress }
  | {
      readonly kind: 'invalid';
      readonly uid: string;
      /** 0 where it could not be read. */
      readonly generation: number;
      readonly name: string;
      readonly violations: readonly Violation[];
    };
