/** What the planner takes and gives. Pure data: no driver, no wire type, no clock. */
import type { OnChange, Protocol, TrafficSpec } from '@gwctl/shared/domain/forward';
import type { Cidr, IpAddress } from '@gwctl/shared/domain/ip';
import type { PortRange } from '@gwctl/shared/domain/ports';
import type { Violation } from '@gwctl/shared/domain/result';

/** One forward as the control plane wants it, checked. */
export interface DesiredForward {
  readonly uid: string;
  readonly generation: number;
  /** For people (status, events); never for a rule. */
  readonly name: string;
  readonly spec: TrafficSpec;
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

/** A forward that the driver is to carry; everything in it is typed, resolved and safe to render. */
export interface PlacedForward {
  readonly uid: string;
  readonly generation: number;
  /** Eight hex digits of SHA-256 of the uid: names chains and comments. */
  readonly key: string;
  readonly family: 4 | 6;
  readonly listen: {
    readonly address?: IpAddress;
    readonly interface?: string;
    readonly protocol: Protocol;
    readonly ports?: PortRange;
  };
  readonly targets: readonly { readonly address: IpAddress; readonly port?: number; readonly weight: number }[];
  /** Merged and sorted; empty: anyone. */
  readonly allow: readonly Cidr[];
  readonly snat: { readonly mode: 'masquerade' | 'none' } | { readonly mode: 'address'; readonly address: IpAddress };
  readonly onChange: OnChange;
  /**
   * The gateway's own networks that the target lies in. Their hosts reach the target directly, so it must see their flows come from
   * the gateway whatever `snat` says: otherwise it answers them past the gateway.
   */
  readonly hairpin: readonly Cidr[];
}

/** What a driver can carry; the planner refuses the rest with reasons. */
export interface DriverCapabilities {
  readonly families: readonly (4 | 6)[];
  readonly protocols: readonly Protocol[];
  /** Listeners of more than one port. */
  readonly portRanges: boolean;
  readonly severalTargets: boolean;
  readonly announce: boolean;
  /** Whether it is a kernel driver or the relay: what a forward's `driver` asks for. */
  readonly kind: 'kernel' | 'relay';
}

/** What the host should look like: the input of every driver's render. */
export interface HostDesired {
  /** In order of uid. */
  readonly forwards: readonly PlacedForward[];
  readonly protected: readonly ProtectedListener[];
}

export type Verdict =
  | { readonly kind: 'place'; readonly forward: PlacedForward; readonly clientAddress: string }
  | { readonly kind: 'reject'; readonly violations: readonly Violation[]; readonly reason: string }
  | { readonly kind: 'disabled' }
  | { readonly kind: 'expired' };

/** The planner's answer: every desired forward has exactly one verdict. */
export interface Planned {
  readonly host: HostDesired;
  readonly verdicts: ReadonlyMap<string, Verdict>;
}
