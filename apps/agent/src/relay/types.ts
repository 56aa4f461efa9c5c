/** What a relay takes: the same for both engines, for the process that holds one, and for the driver that tells it what to carry. */
import type { Affinity, OnChange } from '@gwctl/shared/domain/forward';
import type { Cidr, Family, IpAddress } from '@gwctl/shared/domain/ip';
import type { PortRange } from '@gwctl/shared/domain/ports';
import type { ProxyProtocol } from '@gwctl/shared/domain/relay-options';

export type Transport = 'tcp' | 'udp';

/** Where the relay opens connections to: an address that is resolved and in rotation. */
export interface RelayTarget {
  readonly address: IpAddress;
  /** What the listener's first port goes to; further ones keep their distance. */
  readonly port: number;
  /** Share among the targets, at least 1. */
  readonly weight: number;
}

/** A forward that the relay is to carry; everything in it is resolved. Listener and targets may be of different families. */
export interface RelayedForward {
  readonly uid: string;
  readonly generation: number;
  readonly listen: {
    /** Undefined: every address of the gateway, of the families in {@link families}. */
    readonly address?: IpAddress;
    readonly families: readonly Family[];
    readonly interface?: string;
    readonly transports: readonly Transport[];
    readonly ports: PortRange;
  };
  /** At least one, by address and port, each once. */
  readonly targets: readonly RelayTarget[];
  /** Left out because they were found down: connections to them are beyond saving, and end unless they are to be kept. */
  readonly down: readonly RelayTarget[];
  /** `client`: all connections of one source address go to the same target (see planner/ring). */
  readonly affinity: Affinity;
  /** Merged and sorted; undefined: anyone; empty: nobody. */
  readonly allow?: readonly Cidr[];
  /** The gateway's address from which targets are reached; undefined: as the route says. */
  readonly source?: IpAddress;
  readonly onChange: OnChange;
  readonly proxyProtocol?: Exclude<ProxyProtocol, 'none'>;
  /** Milliseconds. */
  readonly connectTimeout: number;
  /** Milliseconds. */
  readonly tcpIdleTimeout: number;
  /** Milliseconds. */
  readonly udpIdleTimeout: number;
  /** TCP connections and UDP clients at a time; undefined: as many as the process can hold. */
  readonly maxConnections?: number;
  readonly maxConnectionsPerClient?: number;
}
