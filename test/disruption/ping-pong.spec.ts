/**
 * Connections that are in use while hundreds of other forwards come, change and go, and while the driver is switched: no error, no loss.
 * Short in the normal run, 500 forwards with GWCTL_LONG=1.
 */
import type { JsonValue } from '@bufbuild/protobuf';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { World } from '../e2e/world.js';
import type { Prober } from '../lab/index.js';
import { PingPong } from './ping-pong.js';

const OTHERS = process.env.GWCTL_LONG ? 500 : 60;
const FLOWS = 50;
const [TCP, UDP] = ['192.168.1.10:10022', '192.168.1.10:10053'];
const TARGET = '192.168.2.122:10022';

let world: World;

beforeAll(async () => {
  world = await World.start({ name: 'pingpong', driver: 'nftables' });
  await world.serve('gitbucket', TARGET);
  await world.serve('gitbucket', TARGET, 'udp');
  const api = await world.api();
  await api.createForward({ name: 'tcp', gateway: 'gw1', listen: TCP, target: TARGET });
  await api.createForward({ name: 'udp', gateway: 'gw1', listen: UDP, target: TARGET, protocol: 'udp' });
  await world.applied();
});
afterAll(() => world?.stop());

/** The other forwards are of every kind, so that each kind of object in the kernel is made, changed and removed. */
function other(i: number, changed: boolean): { name: string; spec: Record<string, JsonValue> } {
  const first = 20_000 + i * 20;
  const target = (host: string, port: number) => ({ host, port, weight: 1 });
  const shift = changed ? 100 : 0;
  const kinds: Record<string, JsonValue>[] = [
    { targets: [target('192.168.2.122', 9000 + shift)] },
    { targets: [target('192.168.2.122', 9000)], allowSources: changed ? ['192.168.1.0/24'] : ['192.168.1.0/24', '10.0.0.0/8'] },
    { targets: [target('192.168.2.122', 9000 + shift)], ports: { first, last: first + (changed ? 5 : 9) } },
    {
      targets: [
        target('192.168.2.122', 9000),
        target('192.168.2.123', 9000),
        ...(changed ? [target('192.168.2.124', 9000)] : []),
      ],
    },
    {
      targets: [target('192.168.2.122', 9000)],
      protocol: 'PROTOCOL_TCP_UDP',
      snat: { mode: changed ? 'SNAT_MODE_NONE' : 'SNAT_MODE_MASQUERADE' },
    },
    { targets: [target('192.168.2.122', 9000)], address: '', protocol: changed ? 'PROTOCOL_UDP' : 'PROTOCOL_TCP' },
  ];
  const {
    ports = { first, last: first },
    protocol = 'PROTOCOL_TCP',
    address = '192.168.1.10',
    ...rest
  } = kinds[i % kinds.length] ?? {};
  return { name: `other${i}`, spec: { gateway: 'gw1', listen: { address, protocol, ports }, enabled: true, ...rest } };
}

/** Adds, changes and deletes, a few calls under way at a time. */
async function everyOther(action: (i: number) => Promise<unknown>): Promise<void> {
  const queue = Array.from({ length: OTHERS }, (_, i) => i);
  const worker = async () => {
    for (let i = queue.shift(); i !== undefined; i = queue.shift()) await action(i);
  };
  await Promise.all(Array.from({ length: 4 }, worker));
  await world.applied();
}

const add = async (i: number) => (await world.api()).call('ForwardService.CreateForward', { forward: other(i, false) });
const change = async (i: number) =>
  (await world.api()).call('ForwardService.UpdateForward', { forward: other(i, true), updateMask: 'spec' });
const remove = async (i: number) => (await world.api()).call('ForwardService.DeleteForward', { name: `other${i}` });

const driverInUse = async () =>
  JSON.parse((await world.gwctl(['forward', 'get', 'tcp', '-o', 'json'])).stdout).status.placements[0].driver;

async function switchTo(driver: 'nftables' | 'iptables-nft'): Promise<void> {
  await world.agent.kill('SIGTERM');
  await world.agent.start({ driver });
  await world.applied();
}

/** Everything that must not notice: connections in use, new ones, and both for UDP. */
async function witnesses(): Promise<() => Promise<void>> {
  const client = world.lab.host('client');
  const pingPong = await PingPong.start(client, TCP, FLOWS);
  const udp = { to: '192.168.1.10', port: 10_053, proto: 'udp' } as const;
  const probers: Prober[] = [
    client.prober({ to: '192.168.1.10', port: 10_022, rate: 50 }).start(),
    client.prober({ ...udp, rate: 100 }).start(),
    client.prober({ ...udp, kind: 'longFlow', rate: 100 }).start(),
  ];
  await Promise.all(probers.map((p) => p.settled()));
  return async () => {
    const report = await pingPong.stop();
    const reports = await Promise.all(probers.map((p) => p.stop()));
    expect(report).toMatchObject({ flows: FLOWS, failures: [] });
    expect(report.answered).toBeGreaterThan(FLOWS * 10);
    for (const r of reports) expect(r).toMatchObject({ lost: 0, refused: 0, broken: 0, survived: true });
    console.info(`${report.answered} answers on ${FLOWS} connections, the slowest in ${report.slowest} ms`);
  };
}

describe(`${FLOWS} connections in use, and UDP`, () => {
  it(`${OTHERS} other forwards are added, changed and deleted: no error, no loss`, async () => {
    const finish = await witnesses();
    await everyOther(add);
    await everyOther(change);
    await everyOther(remove);
    await finish();
  }, 600_000);

  it(`the driver becomes iptables and nftables again, with ${OTHERS} others that change meanwhile: no error, no loss`, async () => {
    await everyOther(add);
    const finish = await witnesses();
    const changes = everyOther(change);
    await switchTo('iptables-nft');
    await changes;
    expect(await driverInUse()).toBe('iptables-nft');
    const removals = everyOther(remove);
    await switchTo('nftables');
    await removals;
    expect(await driverInUse()).toBe('nftables');
    await finish();
  }, 600_000);
});
