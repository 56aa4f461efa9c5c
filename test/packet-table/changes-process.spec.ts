import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { waitFor } from '../lab/index.js';
import { FlowLab, lives, ours } from './flow-lab.js';
import { egress, forward } from './forwards.js';
import { IPV4, join, NETS, type Net } from './net.js';
import { DRIVERS } from './topology.js';

/** What flows see when nothing changes but the agent, its driver, or the rules by another hand. */
describe.each(DRIVERS)('flows beside %s', (driver) => {
  let world: FlowLab;
  beforeAll(async () => {
    world = await FlowLab.start(driver);
  });
  afterEach(async () => {
    await world.reset();
    await world.restart();
  });
  afterAll(() => world?.stop());

  const families = NETS.map((net) => ({ net, target: join(net.t10, 8443) }));
  const wanted = () => [
    ...families.flatMap(({ net, target }) => [
      world.of(net).both(target),
      forward(`${join(net.vip, '7000-7010')}/tcp`, join(net.t20, 5000)),
      forward(`${join(net.vip, 8080)}/tcp`, [join(net.t31, 80), join(net.t50, 80)], { affinity: 'client', allow: [net.half] }),
      forward(net.family === 4 ? `${net.nobody}/all` : `[${net.nobody}]/all`, net.family === 4 ? net.t10 : `[${net.t10}]`),
    ]),
    forward('53/udp', join(IPV4.t20, 5353)),
  ];
  const egresses = families.map(({ net }) => egress(net.label, { sources: [net.lanNet], out: 'wan' }));
  // A wildcard socket of IPv6 has the port of IPv4 as well.
  const fixed = (net: Net) => ({ proto: 'udp', sourcePort: 43_000 + net.family }) as const;

  /** A TCP connection and a UDP client of each family, and what became of them. */
  async function flows() {
    const all = await Promise.all(families.map(async ({ net }) => ({ net, tcp: await world.of(net).connect() })));
    const udp = () => Promise.all(families.map(({ net }) => world.of(net).ask(fixed(net))));
    expect(await udp()).toEqual(families.map((f) => f.target));
    return async () => ({ tcp: await Promise.all(all.map(({ tcp }) => lives(tcp))), udp: await udp() });
  }
  const allLive = { tcp: families.map(() => 'echoed'), udp: families.map((f) => f.target) };
  const newOnes = () => Promise.all(families.map(({ net }) => world.of(net).ask()));

  it('nothing changed: no step, and nobody is told of a change', async () => {
    await world.gateway.want(wanted(), { egresses });
    const state = await flows();
    const before = await world.lab.snapshotRules('gw', { without: null });
    expect((await world.gateway.want([...wanted()].reverse(), { egresses })).steps).toEqual([]);
    expect((await world.gateway.want(wanted(), { egresses, fresh: true })).steps).toEqual([]);
    expect(await world.lab.snapshotRules('gw', { without: null })).toEqual(before);
    expect(await state()).toEqual(allLive);
  });

  it('the agent restarts: it takes over what is there', async () => {
    await world.gateway.want(wanted(), { egresses });
    const state = await flows();
    const before = await world.lab.snapshotRules('gw', { without: null });
    await world.restart();
    expect((await world.gateway.want(wanted(), { egresses })).steps).toEqual([]);
    expect(await world.lab.snapshotRules('gw', { without: null })).toEqual(before);
    expect(await state()).toEqual(allLive);
  });

  it('the agent restarts and finds another wish: only the difference is written, flows of the rest stay', async () => {
    const { other } = world.of(IPV4);
    await world.gateway.want([...wanted(), other], { egresses });
    const state = await flows();
    await world.restart();
    await world.gateway.want(wanted(), { egresses });
    expect(await state()).toEqual(allLive);
    expect(await world.of(IPV4).ask({ port: 9 })).toBe('refused');
  });

  it('the agent restarts and finds a forward with cut gone: its flows end', async () => {
    const { tcp, other, connect } = world.of(IPV4);
    await world.gateway.want([tcp(join(IPV4.t10, 8443), { onChange: 'cut' }), other]);
    const flow = await connect();
    await world.restart();
    await world.gateway.want([other]);
    expect(await lives(flow)).not.toBe('echoed');
  });

  it.each(DRIVERS.filter((d) => d !== driver))('the driver becomes %s and then this one again', async (next) => {
    await world.gateway.want(wanted(), { egresses });
    const state = await flows();
    for (const to of [next, driver]) {
      await world.restart(to);
      await world.gateway.want(wanted(), { egresses });
      await world.gateway.cleanLeftovers();
      expect([to, await state(), await newOnes()]).toEqual([to, allLive, families.map((f) => f.target)]);
      expect(
        (await world.gateway.want(wanted(), { egresses, fresh: true })).steps.filter((s) => !/look|our rule/.test(s)),
      ).toEqual([]);
      expect(await ours(world.lab)).toEqual(
        to === 'nftables'
          ? expect.not.arrayContaining([expect.stringContaining('GWCTL')])
          : expect.not.arrayContaining([expect.stringContaining('table ip')]),
      );
    }
  });

  /** As somebody would who means well. */
  const loseAll = async () => {
    const gw = world.lab.host('gw');
    if (driver === 'nftables') await gw.exec(['nft', '-f', '-'], { stdin: 'delete table ip gwctl\ndelete table ip6 gwctl\n' });
    else
      for (const { net } of families)
        for (const table of ['nat', 'mangle'])
          await gw.exec([`${net.iptables}-${driver === 'iptables-nft' ? 'nft' : 'legacy'}`, '-w', '-t', table, '-F']);
  };

  it('all of our rules are lost: idle flows live when they are back', async () => {
    await world.gateway.want(wanted(), { egresses });
    const state = await flows();
    // What TCP still owes the other side (a delayed ACK takes up to 200 ms) must not fall into the time without rules.
    await pause(250);
    await loseAll();
    expect((await world.gateway.look()).map((d) => d.cause)).toContain('missing');
    await world.gateway.want(wanted(), { egresses, fresh: true });
    expect(await state()).toEqual(allLive);
    expect(await newOnes()).toEqual(families.map((f) => f.target));
    expect(await world.gateway.look()).toEqual([]);
  });

  it('of the last forward, drain: what a connection lives on stays until it ends, and nothing longer', async () => {
    const { tcp, connect, ask } = world.of(IPV4);
    await world.gateway.want([tcp(join(IPV4.t10, 8443))]);
    const flow = await connect();
    await world.gateway.want([]);
    expect(await lives(flow)).toBe('echoed');
    expect(await ours(world.lab)).not.toEqual([]);
    expect(await world.gateway.look()).toEqual([]);
    expect(await ask()).toBe('refused');
    await flow.close('end');
    await waitFor(
      async () => {
        await world.gateway.want([]);
        return (await ours(world.lab)).length === 0;
      },
      { what: 'nothing of ours left' },
    );
    expect((await world.gateway.want([])).steps).toEqual([]);
  });

  it('of the last forward, without connections: nothing stays', async () => {
    await world.gateway.want(wanted(), { egresses });
    expect(await newOnes()).toEqual(families.map((f) => f.target));
    await world.gateway.want([]);
    expect(await ours(world.lab)).toEqual([]);
  });

  it('nothing is lost while other forwards come and go', async () => {
    const basis = families.map(({ net, target }) => world.of(net).both(target));
    await world.gateway.want(basis);
    const cli = world.lab.host('cli');
    const probers = NETS.flatMap((net) =>
      (['tcp', 'udp'] as const).flatMap((proto) => [
        cli.prober({ to: net.vip, port: 443, proto, rate: 50 }).start(),
        cli.prober({ to: net.vip, port: 443, proto, kind: 'longFlow', rate: 50 }).start(),
      ]),
    );
    await Promise.all(probers.map((p) => p.settled()));
    const times: Record<'add' | 'remove', number[]> = { add: [], remove: [] };
    for (let i = 0; i < 20; i++) {
      const { net } = families[i % 2] ?? { net: IPV4 };
      const more = [
        forward(`${join(net.vip, 5000 + i)}/${i % 3 ? 'tcp' : 'udp'}`, join(net.t50, 9999), { allow: [net.wanNet] }),
        forward(`${join(net.vip, '6000-6010')}/tcp`, [join(net.t31, 7000), join(net.t50, 7000)], { affinity: 'client' }),
      ];
      times.add.push((await world.gateway.want([...basis, ...more], { egresses })).ms);
      times.remove.push((await world.gateway.want(basis)).ms);
    }
    const reports = await Promise.all(probers.map((p) => p.stop()));
    for (const report of reports) expect(report).toMatchObject({ lost: 0, refused: 0, broken: 0, survived: true });
    const median = (all: number[]) => (all.sort((a, b) => a - b)[Math.floor(all.length / 2)] ?? 0).toFixed(1);
    process.stderr.write(
      `${driver}: p50 of a change, read back: add ${median(times.add)} ms, remove ${median(times.remove)} ms\n`,
    );
  });
});

/** Without other rules nobody else keeps connection tracking and NAT of the kernel at work while ours are gone. */
describe.each(DRIVERS)('our rules are lost where nobody else has any, with %s', (driver) => {
  let world: FlowLab;
  beforeAll(async () => {
    world = await FlowLab.start(driver, { quiet: true });
  });
  afterAll(() => world?.stop());

  it.each(NETS)('$label: a connection that says nothing meanwhile lives', async (net) => {
    const { tcp, connect, ask } = world.of(net);
    const forwards = [tcp(join(net.t10, 8443))];
    await world.gateway.want(forwards);
    const flow = await connect();
    // What TCP still owes the other side (a delayed ACK takes up to 200 ms) must not fall into the time without rules.
    await pause(250);
    if (driver === 'iptables-legacy')
      for (const table of ['nat', 'mangle', 'filter'])
        await world.lab.host('gw').exec([`${net.iptables}-legacy`, '-w', '-t', table, '-F']);
    else await world.lab.host('gw').exec(['nft', 'flush', 'ruleset']);
    await world.gateway.want(forwards, { fresh: true });
    expect([await lives(flow), await ask()]).toEqual(['echoed', join(net.t10, 8443)]);
    await flow.close();
    await world.reset();
  });
});
