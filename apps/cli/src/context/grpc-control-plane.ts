import { EgressService } from '@gwctl/proto/gwctl/v1/egress_pb';
import { EventService } from '@gwctl/proto/gwctl/v1/event_pb';
import { ForwardService } from '@gwctl/proto/gwctl/v1/forward_pb';
import { GatewayService } from '@gwctl/proto/gwctl/v1/gateway_pb';
import { SystemService } from '@gwctl/proto/gwctl/v1/system_pb';
import { count, optionalTime } from './common-mapper.js';
import { Connection, type ConnectionOptions } from './connection.js';
import type { ControlPlane } from './control-plane.js';
import { egressMaskOf, fromEgressChanges, fromNewEgress, toEgress } from './egress-mapper.js';
import { fromChanges, fromFilter, fromNewForward, maskOf, toForward } from './forward-mapper.js';
import { fromGatewayChanges, gatewayMaskOf, toEvent, toGateway, toSystemStatus } from './gateway-mapper.js';

/** Entries asked for at once: few round trips, and a page stays within a few MiB. */
const PAGE_SIZE = 500;

/** The control plane at the other end of a connection. Nothing is sent before the first call. */
export function openControlPlane(options: ConnectionOptions): ControlPlane {
  const connection = new Connection(options);
  return {
    system: systemCalls(connection),
    forwards: forwardCalls(connection),
    egresses: egressCalls(connection),
    gateways: gatewayCalls(connection),
    events: eventCalls(connection),
    close: () => connection.close(),
  };
}

function systemCalls(connection: Connection): ControlPlane['system'] {
  const { whoAmI, getStatus } = SystemService.method;
  return {
    async whoAmI() {
      const { name, role } = await connection.call(whoAmI, {});
      return { name, role };
    },
    status: async () => toSystemStatus(await connection.call(getStatus, {})),
  };
}

function forwardCalls(connection: Connection): ControlPlane['forwards'] {
  const method = ForwardService.method;
  return {
    create: async (forward, { requestId, dryRun }) =>
      toForward(
        await connection.call(method.createForward, { forward: fromNewForward(forward), requestId, validateOnly: dryRun }),
      ),
    get: async (name) => toForward(await connection.call(method.getForward, { name })),
    async *list(filter) {
      let pageToken = '';
      do {
        const page = await connection.call(method.listForwards, { pageSize: PAGE_SIZE, pageToken, filter: fromFilter(filter) });
        yield* page.forwards.map(toForward);
        pageToken = page.nextPageToken;
      } while (pageToken !== '');
    },
    update: async (name, changes, { etag, dryRun }) =>
      toForward(
        await connection.call(method.updateForward, {
          forward: { ...fromChanges(name, changes), etag: etag ?? '' },
          updateMask: { paths: maskOf(changes) },
          validateOnly: dryRun,
        }),
      ),
    async delete(name, { etag, dryRun }) {
      const { revisions } = await connection.call(method.deleteForward, { name, etag: etag ?? '', validateOnly: dryRun });
      return revisions.map((r) => ({ gateway: r.gateway, revision: count(r.revision) }));
    },
    async *watch(name, signal) {
      for await (const forward of connection.stream(method.watchForward, { name }, signal)) yield toForward(forward);
    },
  };
}

function egressCalls(connection: Connection): ControlPlane['egresses'] {
  const method = EgressService.method;
  return {
    create: async (egress, { requestId, dryRun }) =>
      toEgress(await connection.call(method.createEgress, { egress: fromNewEgress(egress), requestId, validateOnly: dryRun })),
    get: async (name) => toEgress(await connection.call(method.getEgress, { name })),
    async *list({ gateway, labels }) {
      let pageToken = '';
      do {
        const filter = { gateway: gateway ?? '', labels: { ...labels } };
        const page = await connection.call(method.listEgresses, { pageSize: PAGE_SIZE, pageToken, ...filter });
        yield* page.egresses.map(toEgress);
        pageToken = page.nextPageToken;
      } while (pageToken !== '');
    },
    update: async (name, changes, { etag, dryRun }) =>
      toEgress(
        await connection.call(method.updateEgress, {
          egress: { ...fromEgressChanges(name, changes), etag: etag ?? '' },
          updateMask: { paths: egressMaskOf(changes) },
          validateOnly: dryRun,
        }),
      ),
    async delete(name, { etag, dryRun }) {
      const { revisions } = await connection.call(method.deleteEgress, { name, etag: etag ?? '', validateOnly: dryRun });
      return revisions.map((r) => ({ gateway: r.gateway, revision: count(r.revision) }));
    },
    async *watch(name, signal) {
      for await (const egress of connection.stream(method.watchEgress, { name }, signal)) yield toEgress(egress);
    },
  };
}

function gatewayCalls(connection: Connection): ControlPlane['gateways'] {
  const method = GatewayService.method;
  return {
    create: async (name, labels, { requestId }) =>
      toGateway(await connection.call(method.createGateway, { gateway: { name, labels: { ...labels } }, requestId })),
    get: async (name) => toGateway(await connection.call(method.getGateway, { name })),
    async *list(labels) {
      let pageToken = '';
      do {
        const page = await connection.call(method.listGateways, { pageSize: PAGE_SIZE, pageToken, labels: { ...labels } });
        yield* page.gateways.map(toGateway);
        pageToken = page.nextPageToken;
      } while (pageToken !== '');
    },
    setLabels: async (name, labels, etag) =>
      toGateway(
        await connection.call(method.updateGateway, {
          gateway: { name, labels: { ...labels }, etag },
          updateMask: { paths: ['labels'] },
        }),
      ),
    update: async (name, changes, { etag, dryRun }) =>
      toGateway(
        await connection.call(method.updateGateway, {
          gateway: { ...fromGatewayChanges(name, changes), etag: etag ?? '' },
          updateMask: { paths: gatewayMaskOf(changes) },
          validateOnly: dryRun,
        }),
      ),
    setCordoned: async (name, cordoned) =>
      toGateway(
        await connection.call(method.updateGateway, { gateway: { name, cordoned }, updateMask: { paths: ['cordoned'] } }),
      ),
    allowMassRemoval: async (name, revision) =>
      toGateway(await connection.call(method.allowMassRemoval, { name, revision: BigInt(revision) })),
    async delete(name, { etag }) {
      await connection.call(method.deleteGateway, { name, etag: etag ?? '' });
    },
    async createJoinToken(name, { ttlSeconds, sourceCidr }) {
      const token = await connection.call(method.createJoinToken, {
        gateway: name,
        ttlSeconds: ttlSeconds ?? 0,
        sourceCidr: sourceCidr ?? '',
      });
      return { joinString: token.joinString, ...optionalTime('expireTime', token.expireTime) };
    },
    async *watch(name, signal) {
      for await (const gateway of connection.stream(method.watchGateway, { name }, signal)) yield toGateway(gateway);
    },
  };
}

function eventCalls(connection: Connection): ControlPlane['events'] {
  return {
    async *list({ gateway, forward, egress }) {
      let pageToken = '';
      do {
        const page = await connection.call(EventService.method.listEvents, {
          pageSize: PAGE_SIZE,
          pageToken,
          gateway: gateway ?? '',
          forward: forward ?? '',
          egress: egress ?? '',
        });
        yield* page.events.map(toEvent);
        pageToken = page.nextPageToken;
      } while (pageToken !== '');
    },
  };
}
