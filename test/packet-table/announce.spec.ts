import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { rootOnly } from '../lab/root-only.js';
import { FlowLab } from './flow-lab.js';
import { forward } from './forwards.js';
import { NETS, type Net } from './net.js';
import { DRIVERS } from './topology.js';

/** An address that nobody has: neighbours find it at the gateway for as long as a forward announces it. */
describe.each(DRIVERS)('announced addresses, with %s', (driver) => {
  let world: FlowLab;
  beforeAll(async () => {
    world = await FlowLab.start(driver);
  });
  afterEach(async () => {
    await world.gateway.want([]);
    await world.reset();
    await world.lab.host('cli').ip('neigh flush all');
  });
  afterAll(() => world?.stop());

  const all = (net: Net, name = 'virtual') => {
    const bare = (address: string) => (net.family === 4 ? address : `[${address}]`);
    return forward(`${bare(net.neighbour)}/all`, bare(net.t10), { announce: true, name });
  };
  const onGateway = async (net: Net) => (await world.lab.host('gw').ip('-o addr show')).includes(` ${net.neighbour}/`);
  /** Hardware address that a neighbour finds; undefined where nobody answers. */
  async function found(net: Net): Promise<string | undefined> {
    const cli = world.lab.host('cli');
    await cli.ip('neigh flush all');
    await cli.ask({ proto: 'udp', to: net.neighbour, port: 80, timeoutMs: 300 });
    return /lladdr (\S+)/.exec(await cli.ip(`neigh show ${net.neighbour}`))?.[1];
  }
  const hardware = async () => /link\/ether (\S+)/.exec(await world.lab.host('gw').ip('link show wan'))?.[1];

  it.each(NETS)('$label: neighbours find it at the gateway, and nobody once the forward is gone', async (net) => {
    expect(await found(net)).toBeUndefined();
    await world.gateway.want([all(net)]);
    expect(await found(net)).toBe(await hardware());
    await world.gateway.want([]);
    expect(await onGateway(net)).toBe(false);
    expect(await found(net)).toBeUndefined();
  });

  for (const net of NETS)
    rootOnly(`${net.label}: neighbours are told, so that who remembers another host does not wait`, 'tcpdump', async () => {
      const filter = net.family === 4 ? `arp and host ${net.neighbour}` : 'icmp6 and ip6[40] == 136';
      const argv = ['tcpdump', '-n', '-l', '--immediate-mode', '-i', 'eth0', '-c', '1', ...filter.split(' ')];
      const dump = await world.lab.host('cli').spawn(argv, { ready: /listening on/ });
      await world.gateway.want([all(net)]);
      await dump.waitForOutput(
        new RegExp(`(?:Reply|Request|Announcement|tgt is|who-has).*${net.neighbour.replaceAll('.', '\\.')}`),
      );
      await dump.stop();
    });

  it.each(NETS)('$label: two forwards announce one address: it stays until the last is gone', async (net) => {
    const ports = [80, 8443].map((port) => {
      const at = net.family === 4 ? net.neighbour : `[${net.neighbour}]`;
      return forward(`${at}:${port}/tcp`, net.family === 4 ? net.t10 : `[${net.t10}]`, { announce: true });
    });
    await world.gateway.want(ports);
    await world.gateway.want(ports.slice(1));
    expect(await world.of(net).ask({ to: net.neighbour, port: 8443 })).toMatch(/:8443$/);
    await world.gateway.want([]);
    expect(await onGateway(net)).toBe(false);
  });

  it.each(NETS)('$label: an address that the gateway has anyway stays its own', async (net) => {
    const at = net.family === 4 ? net.vip : `[${net.vip}]`;
    await world.gateway.want([
      forward(`${at}:443/tcp`, net.family === 4 ? `${net.t10}:8443` : `[${net.t10}]:8443`, { announce: true }),
    ]);
    expect(await world.of(net).ask()).toMatch(/:8443$/);
    await world.gateway.want([]);
    expect((await world.lab.host('gw').ip('-o addr show')).includes(` ${net.vip}/`)).toBe(true);
  });

  it.each(NETS)('$label: somebody removes it: found, and put back', async (net) => {
    await world.gateway.want([all(net)]);
    // However it is announced, this ends it: as an address of the interface or as an entry of the neighbour table.
    const gw = world.lab.host('gw');
    for (const dev of ['wan', 'lo'])
      await gw.exec(['ip', 'addr', 'del', `${net.neighbour}/${net.host}`, 'dev', dev], { allowFailure: true });
    await gw.exec(['ip', 'neigh', 'del', 'proxy', net.neighbour, 'dev', 'wan'], { allowFailure: true });
    expect((await world.gateway.look()).map((d) => d.cause)).toEqual(['missing']);
    await world.gateway.want([all(net)], { fresh: true });
    expect(await found(net)).toBe(await hardware());
  });

  it('a fresh process knows which addresses are ours', async () => {
    const forwards = NETS.map((net) => all(net, net.label));
    await world.gateway.want(forwards);
    await world.restart();
    expect((await world.gateway.want(forwards)).steps).toEqual([]);
    await world.restart();
    await world.gateway.cleanUp();
    expect(await Promise.all(NETS.map(onGateway))).toEqual([false, false]);
  });
});
