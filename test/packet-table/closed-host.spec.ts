import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { FlowLab, ours } from './flow-lab.js';
import { egress, forward } from './forwards.js';
import { join, NETS } from './net.js';
import { DRIVERS } from './topology.js';

const SWITCHES = ['net.ipv4.ip_forward', 'net.ipv6.conf.all.forwarding'] as const;

/** A host that forwarded nothing becomes a gateway for our flows, not a router for everybody, and is as it was afterwards. */
describe.each(DRIVERS)('a host that did not forward, with %s', (driver) => {
  let world: FlowLab;
  beforeAll(async () => {
    world = await FlowLab.start(driver, { quiet: true });
    await world.lab.host('gw').sysctl(Object.fromEntries(SWITCHES.map((s) => [s, 0])));
    // As on a host that has its default route from router advertisements, which a kernel that forwards no longer believes.
    await world.lab.host('gw').sysctl({ 'net.ipv6.conf.wan.accept_ra': 1 });
    await world.restart();
  });
  afterEach(() => world.reset());
  afterAll(() => world?.stop());

  const switches = async () => Promise.all(SWITCHES.map((s) => world.lab.host('gw').readSysctl(s)));
  const acceptRa = () => world.lab.host('gw').readSysctl('net.ipv6.conf.wan.accept_ra');

  it('a forward of one family turns on that family alone', async () => {
    for (const [i, net] of NETS.entries()) {
      const { conditions } = await world.gateway.want([world.of(net).tcp(join(net.t10, 8443))]);
      expect(conditions.IpForwarding).toBe('TURNED_ON_BY_AGENT');
      expect(await world.of(net).ask()).toBe(join(net.t10, 8443));
      expect((await switches())[i]).toBe('1');
      expect((await switches())[1 - i]).toBe('0');
      await world.gateway.want([]);
      expect(await switches()).toEqual(['0', '0']);
    }
  });

  it.each(NETS)('$label: forwards our flows and nothing else', async (net) => {
    const { ask, both } = world.of(net);
    await world.gateway.want([both(join(net.t10, 8443), { snat: 'none' }), forward('7000-7010/udp', join(net.t31, 7000))]);
    expect([await ask(), await ask({ proto: 'udp' }), await ask({ proto: 'udp', port: 7003 })]).toEqual([
      join(net.t10, 8443),
      join(net.t10, 8443),
      join(net.t31, 7003),
    ]);
    // Not an open router: neighbours have a route through the gateway.
    const past = { to: net.t50, port: 9999 };
    expect([await ask(past), await ask({ ...past, proto: 'udp' })]).toEqual(['timeout', 'timeout']);
    expect(await world.lab.host('srv').ask({ proto: 'tcp', to: net.cli, port: 8080, from: net.t20, timeoutMs: 300 })).toBe(
      'timeout',
    );
    expect(await world.gateway.look()).toEqual([]);
  });

  it.each(NETS)('$label: egress leaves, and nobody comes in by it', async (net) => {
    await world.gateway.want([], { egresses: [egress('out', { sources: [`${net.t20}/${net.host}`], out: 'wan' })] });
    const from = async (source: string) => {
      const answer = await world.lab.host('srv').ask({ proto: 'tcp', to: net.cli, port: 8080, from: source, timeoutMs: 300 });
      return typeof answer === 'string' ? answer : answer.local;
    };
    expect([await from(net.t20), await from(net.t31)]).toEqual([join(net.cli, 8080), 'timeout']);
    expect(await world.of(net).ask({ to: net.t20, port: 5353 })).toBe('timeout');
    expect(await world.gateway.look()).toEqual([]);
  });

  it('a fresh process still knows that it was us, and puts all of it back', async () => {
    const forwards = NETS.map((net) => world.of(net).tcp(join(net.t10, 8443)));
    await world.gateway.want(forwards);
    expect(await switches()).toEqual(['1', '1']);
    expect(await acceptRa()).toBe('2');
    await world.restart();
    expect((await world.gateway.want(forwards)).steps).toEqual([]);
    await world.gateway.want([]);
    expect([await switches(), await acceptRa(), await ours(world.lab)]).toEqual([['0', '0'], '1', []]);
  });

  it('so does clean-up', async () => {
    await world.gateway.want(NETS.map((net) => world.of(net).tcp(join(net.t10, 8443))));
    await world.restart();
    await world.gateway.cleanUp();
    expect([await switches(), await acceptRa(), await ours(world.lab)]).toEqual([['0', '0'], '1', []]);
  });

  it.each(NETS)('$label: turned off by somebody else: found and turned on again', async (net) => {
    const name = net.family === 4 ? SWITCHES[0] : SWITCHES[1];
    const forwards = [world.of(net).tcp(join(net.t10, 8443))];
    await world.gateway.want(forwards);
    await world.lab.host('gw').sysctl({ [name]: 0 });
    expect(await world.gateway.look()).toMatchObject([{ cause: 'sysctl', object: `sysctl/${name}` }]);
    await world.gateway.want(forwards, { fresh: true });
    expect(await world.of(net).ask()).toBe(join(net.t10, 8443));
  });
});
