import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { FlowLab, lives } from './flow-lab.js';
import { forward } from './forwards.js';
import { join, NETS } from './net.js';
import { DRIVERS } from './topology.js';

/** What flows see when who may come, or what the target sees as the source, changes. */
const POLICIES = ['drain', 'cut', 'keep'] as const;

describe.each(DRIVERS)('flows when access changes, with %s', (driver) => {
  let world: FlowLab;
  beforeAll(async () => {
    world = await FlowLab.start(driver);
  });
  afterEach(() => world.reset());
  afterAll(() => world?.stop());

  describe.each(NETS)('$label', (net) => {
    const OLD = join(net.t10, 8443);
    const bare = (address: string) => (net.family === 4 ? address : `[${address}]`);
    const fixed = (sourcePort: number, from: string) => ({ proto: 'udp', sourcePort, from }) as const;

    // A list is a promise about who has access, so no policy lets anybody stay who is not on it.
    it.each(POLICIES)('%s: a narrower allow-list cuts who is no longer on it, and nobody else', async (onChange) => {
      const { connect, ask, both, other } = world.of(net);
      await world.gateway.want([both(OLD, { onChange }), other]);
      const [stays, goes] = [await connect({ from: net.cli3 }), await connect({ from: net.cli66 })];
      expect([await ask(fixed(42_000, net.cli3)), await ask(fixed(42_000, net.cli66))]).toEqual([OLD, OLD]);
      await world.gateway.want([both(OLD, { onChange, allow: [net.half] }), other]);
      expect([await lives(stays), await lives(goes)]).toEqual(['echoed', 'timeout']);
      expect([await ask(fixed(42_000, net.cli3)), await ask(fixed(42_000, net.cli66))]).toEqual([OLD, 'timeout']);
      expect([await ask({ from: net.cli3 }), await ask({ from: net.cli66 })]).toEqual([OLD, 'timeout']);
    });

    it('an allow-list that nobody is on any more cuts everybody', async () => {
      const { connect, ask, both, other } = world.of(net);
      const allow = ['office.example.net'];
      await world.gateway.want([both(OLD, { allow }), other], { names: { 'office.example.net': [net.cli3] } });
      const flow = await connect({ from: net.cli3 });
      expect(await ask(fixed(42_001, net.cli3))).toBe(OLD);
      await world.gateway.want([both(OLD, { allow }), other], { names: { 'office.example.net': [net.dmz] } });
      expect([await lives(flow), await ask(fixed(42_001, net.cli3))]).toEqual(['timeout', 'timeout']);
    });

    it('a narrower allow-list holds for all protocols of an address', async () => {
      const { connect, ask, other } = world.of(net);
      const all = (allow: string[]) => forward(`${bare(net.nobody)}/all`, bare(net.t10), { allow });
      const to = { to: net.nobody, port: 8443 };
      await world.gateway.want([all([]), other]);
      const [stays, goes] = [await connect({ from: net.cli3, ...to }), await connect({ from: net.cli66, ...to })];
      expect(await ask({ ...fixed(42_002, net.cli66), ...to })).toBe(OLD);
      await world.gateway.want([all([net.half]), other]);
      expect([await lives(stays), await lives(goes)]).toEqual(['echoed', 'timeout']);
      expect(await ask({ ...fixed(42_002, net.cli66), ...to })).toBe('timeout');
    });

    it.each(POLICIES)('%s: a wider allow-list touches no flow, and lets in at once who waited', async (onChange) => {
      const { connect, ask, both, other } = world.of(net);
      await world.gateway.want([both(OLD, { onChange, allow: [net.half] }), other]);
      const flow = await connect({ from: net.cli3 });
      expect([await ask(fixed(42_003, net.cli3)), await ask(fixed(42_003, net.cli66))]).toEqual([OLD, 'timeout']);
      await world.gateway.want([both(OLD, { onChange }), other]);
      expect([await lives(flow), await ask(fixed(42_003, net.cli3)), await ask(fixed(42_003, net.cli66))]).toEqual([
        'echoed',
        OLD,
        OLD,
      ]);
    });

    it.each(['drain', 'keep'] as const)(
      '%s: another source address: flows keep theirs, new ones get the new',
      async (onChange) => {
        const { connect, seenAs, both } = world.of(net);
        await world.gateway.want([both(OLD, { onChange })]);
        const flow = await connect();
        expect(await seenAs(fixed(42_004, net.cli))).toBe(net.lan);
        await world.gateway.want([both(OLD, { onChange, snat: net.lan2 })]);
        expect([await lives(flow), await seenAs(), await seenAs(fixed(42_004, net.cli))]).toEqual(['echoed', net.lan2, net.lan]);
        await world.gateway.want([both(OLD, { onChange, snat: 'none' })]);
        expect([await lives(flow), await seenAs(), await seenAs(fixed(42_005, net.cli))]).toEqual(['echoed', net.cli, net.cli]);
      },
    );

    it('cut: another source address: flows end, and come again with the new', async () => {
      const { connect, seenAs, both } = world.of(net);
      await world.gateway.want([both(OLD, { onChange: 'cut' })]);
      const flow = await connect();
      expect(await seenAs(fixed(42_006, net.cli))).toBe(net.lan);
      await world.gateway.want([both(OLD, { onChange: 'cut', snat: net.lan2 })]);
      expect(await lives(flow)).not.toBe('echoed');
      expect([await seenAs(), await seenAs(fixed(42_006, net.cli))]).toEqual([net.lan2, net.lan2]);
    });
  });
});
