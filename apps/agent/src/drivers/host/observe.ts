import type { BridgedFrames } from '../../system/bridged-traffic.js';
import type { ConntrackRoom } from '../../system/conntrack-room.js';
import type { PinnedSysctls } from '../../system/sysctl-pins.js';
import type { SeenAddress } from '../../system/virtual-addresses.js';
import type { ForeignNat } from './foreign-nat.js';

/** The host beside its rules, as far as forwards depend on it. */
export interface HostObserved {
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly addresses: readonly SeenAddress[];
  readonly sysctls: PinnedSysctls;
  /** Parts of the kernel for FTP that are not there. */
  readonly missingModules: readonly string[];
  /** Interfaces that do not forward although the host as a whole does. */
  readonly notForwarding: readonly string[];
  /** Frames that only pass over a bridge and meet rules all the same. */
  readonly bridged: readonly BridgedFrames[];
  readonly room?: ConntrackRoom;
  readonly foreign: ForeignNat;
  readonly troubles: HostTroubles;
  /** Just read: what failed before may be tried again. */
  readonly fresh: boolean;
}

/** What could last not be done, and why. */
export interface HostTroubles {
  /** By address. */
  readonly addresses: ReadonlyMap<string, string>;
  /** Why it is not entirely known which addresses are ours. */
  readonly record?: string;
  readonly announcing?: string;
  /** By name of the part. */
  readonly modules: ReadonlyMap<string, string>;
  /** By name of the parameter. */
  readonly sysctls: ReadonlyMap<string, string>;
}

export interface Observed<O> {
  readonly inner: O;
  readonly host: HostObserved;
}

/** What FTP through NAT takes: to follow the control connection, and to rewrite addresses in it. */
export const FTP_MODULES = ['nf_conntrack_ftp', 'nf_nat_ftp'] as const;
