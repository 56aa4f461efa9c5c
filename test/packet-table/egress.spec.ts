import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { FlowLab, lives } from './flow-lab.js';
import { egress, forward } from './forwards.js';
import { join, NETS, split } from './net.js';
import { DRIVERS } from './topology.js';

/** What leaves must not get in the way of what comes in. */
describe.each(DRIVERS)('egress beside forwards, with %s', (driver) => {
  let world: FlowLab;
  beforeAll(async () => {
    world = await FlowLab.start(driver);
  });
  afterEach(() => world.reset());
  afterAll(() => world?.stop());

  describe.each(NETS)('$label', (net) => {
    const out = (options: Partial<Parameters<typeof egress>[1]> = {}) =>
      egress('out', { sources: [net.lanNet], out: 'wan', ...options });

    it.each([
      ['masqueraded', undefined, net.wan],
      ['with a fixed address', net.vip, net.vip],
    ] as const)('%s: a source port of the inside never takes the place of a listener', async (_, snat, outside) => {
      const { ask } = world.of(net);
      await world.gateway.want([forward('53/udp', join(net.t20, 5353))], { egresses: [out(snat === undefined ? {} : { snat })] });
      const srv = world.lab.host('srv');
      // Seen from outside as the gateway's port 53, it would be where answers to the gateway's port 53 go.
      const answer = await srv.ask({ proto: 'udp', to: net.cli, port: 8080, from: net.t31, sourcePort: 53, timeoutMs: 500 });
      const peer = typeof answer === 'string' ? answer : split(answer.peer);
      expect(peer).toMatchObject({ address: outside });
      expect(Number(typeof peer === 'string' ? 0 : peer.port)).toBeGreaterThanOrEqual(1024);
      // The same from a port that this client then asks from.
      await srv.ask({ proto: 'udp', to: net.cli, port: 45_000, from: net.t31, sourcePort: 53, timeoutMs: 100 });
      expect(await ask({ proto: 'udp', to: outside, port: 53, from: net.cli, sourcePort: 45_000 })).toBe(join(net.t20, 5353));
    });

    it('changes: flows that were translated live, new ones are as wanted', async () => {
      const srv = world.lab.host('srv');
      const to = { proto: 'tcp', to: net.cli, port: 8080, from: net.t20 } as const;
      const seen = async () => {
        const answer = await srv.ask({ ...to, timeoutMs: 300 });
        return typeof answer === 'string' ? answer : split(answer.peer).address;
      };
      await world.gateway.want([], { egresses: [out()] });
      const flow = await srv.open({ ...to, timeoutMs: 1000 });
      expect(split(flow.answer.peer).address).toBe(net.wan);
      await world.gateway.want([], { egresses: [out({ snat: net.vip })] });
      expect([await lives(flow), await seen()]).toEqual(['echoed', net.vip]);
      await flow.close();
      await world.gateway.want([forward(`${join(net.vip, 443)}/tcp`, join(net.t10, 8443))]);
      expect(await seen()).toBe('timeout');
    });

    it("the gateway's own traffic and what it sends to multicast keep their source", async () => {
      await world.gateway.want([], { egresses: [out({ sources: [net.wanNet], snat: net.vip })] });
      const answer = await world.lab.host('gw').ask({ proto: 'tcp', to: net.cli, port: 8080, timeoutMs: 500 });
      expect(typeof answer === 'string' ? answer : split(answer.peer).address).toBe(net.wan);
    });
  });
});
