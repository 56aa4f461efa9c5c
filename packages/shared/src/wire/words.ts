/**
 * The one table between the wire's enums and the domain's words. Wire types stop at mappers; the mappers use this.
 * A value that is unknown here (a newer peer's) maps to undefined, which the domain's parser refuses by name.
 */
import {
  ConditionStatus,
  DriftCause,
  TargetHealth,
  Affinity as WireAffinity,
  DriftPolicy as WireDriftPolicy,
  DriverChoice as WireDriver,
  HealthCheckMode as WireHealthCheckMode,
  Helper as WireHelper,
  OnChange as WireOnChange,
  PlacementState as WirePlacementState,
  Protocol as WireProtocol,
  ProxyProtocol as WireProxyProtocol,
  SnatMode as WireSnatMode,
} from '@gwctl/proto/gwctl/v1/types_pb';
import type { Affinity, DriverChoice, HealthCheckMode, HelperChoice, OnChange, Protocol, SnatMode } from '../domain/forward.js';
import type { DriftPolicy } from '../domain/gateway-settings.js';
import type { ProxyProtocol } from '../domain/relay-options.js';
import type { ConditionStatusWord, DriftCauseWord, PlacementStateWord, TargetHealthWord } from '../domain/status.js';

interface Words<W extends number, D extends string> {
  toWire(word: D): W;
  fromWire(value: W): D | undefined;
}

function words<W extends number, D extends string>(table: Readonly<Record<D, W>>, unspecified?: D): Words<W, D> {
  const back = new Map<number, D>((Object.entries(table) as [D, W][]).map(([word, value]) => [value, word]));
  return {
    toWire: (word) => table[word],
    fromWire: (value) => back.get(value) ?? (value === 0 ? unspecified : undefined),
  };
}

export const protocolWords = words<WireProtocol, Protocol>({
  tcp: WireProtocol.TCP,
  udp: WireProtocol.UDP,
  'tcp+udp': WireProtocol.TCP_UDP,
  all: WireProtocol.ALL,
});

export const snatWords = words<WireSnatMode, SnatMode>(
  { auto: WireSnatMode.AUTO, masquerade: WireSnatMode.MASQUERADE, address: WireSnatMode.ADDRESS, none: WireSnatMode.NONE },
  'auto',
);

export const driverWords = words<WireDriver, DriverChoice>(
  { auto: WireDriver.AUTO, kernel: WireDriver.KERNEL, relay: WireDriver.RELAY },
  'auto',
);

export const onChangeWords = words<WireOnChange, OnChange>(
  { drain: WireOnChange.DRAIN, cut: WireOnChange.CUT, keep: WireOnChange.KEEP },
  'drain',
);

export const placementStateWords = words<WirePlacementState, PlacementStateWord>({
  PENDING: WirePlacementState.PENDING,
  ACTIVE: WirePlacementState.ACTIVE,
  DEGRADED: WirePlacementState.DEGRADED,
  REJECTED: WirePlacementState.REJECTED,
  EXPIRED: WirePlacementState.EXPIRED,
  UNKNOWN: WirePlacementState.UNKNOWN,
  DISABLED: WirePlacementState.DISABLED,
});

export const conditionStatusWords = words<ConditionStatus, ConditionStatusWord>(
  { true: ConditionStatus.TRUE, false: ConditionStatus.FALSE, unknown: ConditionStatus.UNKNOWN },
  'unknown',
);

export const driftCauseWords = words<DriftCause, DriftCauseWord>({
  missing: DriftCause.MISSING,
  altered: DriftCause.ALTERED,
  shadowed: DriftCause.SHADOWED,
  foreign: DriftCause.FOREIGN,
  sysctl: DriftCause.SYSCTL,
});

export const affinityWords = words<WireAffinity, Affinity>({ none: WireAffinity.NONE, client: WireAffinity.CLIENT }, 'none');

export const helperWords = words<WireHelper, HelperChoice>(
  { auto: WireHelper.AUTO, none: WireHelper.NONE, ftp: WireHelper.FTP },
  'auto',
);

export const healthCheckWords = words<WireHealthCheckMode, HealthCheckMode>(
  { auto: WireHealthCheckMode.AUTO, none: WireHealthCheckMode.NONE, tcp: WireHealthCheckMode.TCP },
  'auto',
);

export const proxyProtocolWords = words<WireProxyProtocol, ProxyProtocol>(
  { none: WireProxyProtocol.NONE, v1: WireProxyProtocol.V1, v2: WireProxyProtocol.V2 },
  'none',
);

export const driftPolicyWords = words<WireDriftPolicy, DriftPolicy>(
  { repair: WireDriftPolicy.REPAIR, report: WireDriftPolicy.REPORT },
  'repair',
);

export const targetHealthWords = words<TargetHealth, TargetHealthWord>(
  { unknown: TargetHealth.UNKNOWN, healthy: TargetHealth.HEALTHY, unhealthy: TargetHealth.UNHEALTHY },
  'unknown',
);
