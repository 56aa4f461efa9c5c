import { formatListener } from '@gwctl/shared/domain/forward';
import type { Condition, Drift } from '@gwctl/shared/domain/status';
import { VERSION } from '@gwctl/shared/version';
import type { ControlLink } from '../control-link/control-link.js';
import type { About } from '../control-link/mapper.js';
import type { DesiredStore } from '../desired/desired-store.js';
import type { Identity } from '../identity/identity.js';
import type { PlacementStatus } from '../reconciler/placement-status.js';
import type { Reconciler } from '../reconciler/reconciler.js';
import type { Conditions } from './conditions.js';
import type { StatusCondition, StatusForward, StatusReport } from './report.js';

/** The running agent, as far as its status tells of it. */
export interface Reported {
  readonly started: number;
  readonly about: About;
  readonly identity: () => Pick<Identity, 'gateway' | 'validity'>;
  readonly link: Pick<ControlLink, 'status'>;
  readonly store: Pick<DesiredStore, 'view' | 'persisted' | 'source' | 'time'>;
  readonly reconciler: Pick<Reconciler, 'status'>;
  readonly conditions: Conditions;
}

export function buildReport({ started, about, identity, link, store, reconciler, conditions }: Reported): StatusReport {
  const { gateway, validity } = identity();
  const connection = link.status();
  const view = store.view();
  const { statuses, applied } = reconciler.status();
  const forwards = [...statuses].sort((a, b) => (a.name < b.name ? -1 : 1));
  return {
    agent: { version: VERSION, pid: process.pid, startTime: iso(started) },
    gateway: { name: gateway, uid: about.gatewayUid },
    controlPlane: {
      connected: connection.connected,
      since: iso(connection.since),
      ...(connection.server === undefined ? {} : { server: connection.server }),
      ...(connection.sessionId === undefined ? {} : { session: connection.sessionId }),
      ...(connection.controlVersion === undefined ? {} : { version: connection.controlVersion }),
      ...(connection.error ? { error: connection.error } : {}),
      ...(connection.nextAttempt === undefined ? {} : { nextAttempt: iso(connection.nextAttempt) }),
      ...(connection.clockSkew === undefined ? {} : { clockSkewMs: connection.clockSkew }),
    },
    desired: {
      known: view.complete,
      source: store.source,
      ...(view.complete ? { epoch: view.epoch, acceptedRevision: view.revision } : {}),
      ...(applied ? { appliedRevision: applied.revision } : {}),
      ...(store.time === undefined ? {} : { acceptedTime: iso(store.time) }),
      forwards: view.entries.length,
    },
    driver: about.driver,
    capabilities: about.capabilities,
    certificate: { notBefore: iso(validity.notBefore), notAfter: iso(validity.notAfter) },
    conditions: conditions.list().map(condition),
    forwards: forwards.map(forward),
  };
}

function forward(status: PlacementStatus): StatusForward {
  const { name, uid, generation, state, driver, listen, clientAddress, conditions, violations, drift } = status;
  return {
    name,
    uid,
    generation,
    state,
    ...(driver === undefined ? {} : { driver }),
    ...(listen ? { listen: formatListener(listen) } : {}),
    ...(status.egress === undefined ? {} : { egress: status.egress }),
    targets: status.targets.map((t) => {
      const bracketed = t.address.includes(':') ? `[${t.address}]` : t.address;
      return {
        address: t.port === 0 ? t.address : `${bracketed}:${t.port}`,
        ...(t.host === t.address ? {} : { host: t.host }),
        ...(t.health ? { health: t.health.state } : {}),
        ...(t.health?.rttUs === undefined ? {} : { rttUs: t.health.rttUs }),
      };
    }),
    ...(status.counters ? { counters: status.counters } : {}),
    clientAddress,
    conditions: conditions.map(condition),
    violations,
    ...(drift ? { drift: driftTimes(drift) } : {}),
  };
}

function driftTimes({ detected, repaired, ...drift }: Drift): NonNullable<StatusForward['drift']> {
  return { ...drift, detected: iso(detected), ...(repaired === undefined ? {} : { repaired: iso(repaired) }) };
}

const condition = (c: Condition): StatusCondition => ({ ...c, since: iso(c.since) });

const iso = (ms: number): string => new Date(ms).toISOString();
