import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Flow, Lab, type LabSpec } from '../lab/index.js';
import { HostAgent } from './host-agent.js';
import type { WantedFlows } from './host-protocol.js';

/** A gateway that sends every protocol to one address on to the server, and passes on what is for the server itself. */
const topology = {
  name: 'conntrack',
  hosts: {
    cli: {
      links: { eth0: { segment: 'wan', addresses: ['198.51.100.2/24', '198.51.100.3/24', 'fd00:1::2/64', 'fd00:1::3/64'] } },
      routes: ['default via 198.51.100.1', 'default via fd00:1::1'],
    },
    gw: {
      links: {
        wan: { segment: 'wan', addresses: ['198.51.100.1/24', '203.0.113.10/32', 'fd00:1::1/64', 'fd00:9::10/128'] },
        lan: { segment: 'lan', addresses: ['10.0.0.1/24', 'fd00:2::1/64'] },
      },
      sysctls: { 'net.ipv4.ip_forward': 1, 'net.ipv6.conf.all.forwarding': 1 },
    },
    srv: {
      links: { eth0: { segment: 'lan', addresses: ['10.0.0.10/24', 'fd00:2::10/64'] } },
      routes: ['default via 10.0.0.1', 'default via fd00:2::1'],
    },
  },
} as const satisfies LabSpec;

const RULES = `
add table ip other
add chain ip other pre { type nat hook prerouting priority -100; }
add rule ip other pre ip daddr 203.0.113.10 dnat to 10.0.0.10
add table ip6 other
add chain ip6 other pre { type nat hook prerouting priority -100; }
add rule ip6 other pre ip6 daddr fd00:9::10 dnat to fd00:2::10
`;

/**
 * Each row has ports of its own, and only UDP is looked for after its removal: a late acknowledgement or end of a TCP connection makes
 * the kernel take it up again.
 */
describe.each([
  { family: 4, vip: '203.0.113.10', target: '10.0.0.10', client: '198.51.100.2', second: '198.51.100.3', ping: 1 },
  { family: 6, vip: 'fd00:9::10', target: 'fd00:2::10', client: 'fd00:1::2', second: 'fd00:1::3', ping: 58 },
] as const)('flows in the kernel, IPv$family', ({ family, vip, target, client, second, ping }) => {
  let lab: Lab<keyof typeof topology.hosts>;
  let agent: HostAgent;
  const opened: Flow[] = [];
  const listener = { family, address: vip } as const;
  const wide = family === 4 ? '198.51.100.2/32' : 'fd00:1::2/128';

  beforeAll(async () => {
    lab = await Lab.create(topology);
    await lab.host('gw').exec(['nft', '-f', '-'], { stdin: RULES });
    const server = (proto: 'tcp' | 'udp', port: number) => ({ proto, address: target, port });
    await lab.host('srv').serve([443, 1443, 1444, 5003].flatMap((port) => [server('tcp', port), server('udp', port)]));
    agent = await HostAgent.on(lab.host('gw'), lab.directory('state'));
  });
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((flow) => flow.close()));
    await lab.host('gw').exec(['conntrack', '-F']);
  });
  afterAll(() => lab.destroy());

  async function open(proto: 'tcp' | 'udp', port: number, from: string = client, to: string = vip): Promise<void> {
    opened.push(await lab.host('cli').open({ proto, to, port, from, timeoutMs: 1000 }));
  }
  const pinged = (to: string) => lab.host('cli').exec(['ping', '-c', '1', '-W', '1', '-I', client, to]);
  const seen = async (...matches: readonly WantedFlows[]) =>
    (await agent.flows(...matches)).map((f) => `${f.protocol} ${f.from} ${f.to} ${f.port} ${f.target}`).sort();

  it('of every protocol are found, each by what it is', async () => {
    await open('tcp', 443);
    await open('udp', 443);
    await pinged(vip);
    const all = [
      `${ping} ${client} ${vip} 0 ${target}`,
      `tcp ${client} ${vip} 443 ${target}`,
      `udp ${client} ${vip} 443 ${target}`,
    ];
    expect(await seen({ ...listener, protocol: 'any' })).toEqual(all);
    expect(await seen({ ...listener, protocol: 'tcp', port: 443 })).toEqual([all[1]]);
    expect(await seen({ ...listener, protocol: 'any', ports: { first: 400, last: 450 } })).toEqual(all.slice(1));
    expect(await seen({ ...listener, protocol: 'udp', port: 443, to: { address: target, port: 444 } })).toEqual([]);
    // More than the kernel is asked about one by one.
    const many = Array.from({ length: 100 }, (_, i) => ({ ...listener, protocol: 'udp', port: 400 + i }) as const);
    expect(await seen(...many)).toEqual([all[2]]);
  });

  it('are removed, and no others', async () => {
    await open('udp', 1443);
    await open('tcp', 1444);
    await open('udp', 5003);
    await pinged(vip);
    await pinged(target);
    expect(await agent.removeFlows({ ...listener, protocol: 'udp', port: 1443, to: { address: target } })).toBe(1);
    expect(
      await agent.removeFlows({ ...listener, protocol: 'any', ports: { first: 5000, last: 5009 }, notTo: { address: target } }),
    ).toBe(0);
    expect(await agent.removeFlows({ ...listener, protocol: 'any', ports: { first: 5000, last: 5009 } })).toBe(1);
    expect(await seen({ ...listener, protocol: 'any' })).toEqual([
      `${ping} ${client} ${vip} 0 ${target}`,
      `tcp ${client} ${vip} 1444 ${target}`,
    ]);
    expect(await agent.removeFlows({ ...listener, protocol: 'any' })).toBe(2);
    expect(await seen({ family, protocol: 'any', address: target })).toEqual([`${ping} ${client} ${target} 0 ${target}`]);
  });

  it('from outside an allow-list are removed, those from inside stay', async () => {
    await open('udp', 443, client);
    await open('udp', 443, second);
    expect(await agent.removeFlows({ ...listener, protocol: 'udp', port: 443, sourcesOutside: [wide] })).toBe(1);
    expect(await seen({ ...listener, protocol: 'udp', port: 443 })).toEqual([`udp ${client} ${vip} 443 ${target}`]);
  });

  it('to an address of nobody’s in particular are those to the gateway’s own', async () => {
    await open('udp', 443);
    await open('udp', 443, client, target);
    expect(await agent.removeFlows({ family, protocol: 'udp', port: 443 })).toBe(1);
    expect(await seen({ family, protocol: 'udp', port: 443 })).toEqual([`udp ${client} ${target} 443 ${target}`]);
  });

  it('are said to be within reach', async () => {
    expect(await agent.probe()).toMatchObject({ supported: true });
  });
});
