import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Flow, type Host, waitFor } from '../lab/index.js';
import { FlowLab, lives } from './flow-lab.js';
import { forward } from './forwards.js';
import { IPV4, join, NETS } from './net.js';
import { SERVERS } from './states.js';
import { DRIVERS } from './topology.js';

/** What connection tracking and the host's addresses set bounds to: what clients and targets see there, and what the gateway says. */
describe.each(DRIVERS)('bounds of flows, with %s', (driver) => {
  let world: FlowLab;
  beforeAll(async () => {
    world = await FlowLab.start(driver);
    await world.lab.host('dmz').serve(SERVERS.dmz);
  });
  afterEach(() => world.reset());
  afterAll(() => world?.stop());

  describe.each(NETS)('$label', (net) => {
    describe('source ports of the gateway run out', () => {
      /** A flow from a port between 512 and 1023 gets one between 600 and 1023 from the kernel: the narrowest choice there is. */
      const PORTS = 1023 - 600 + 1;
      const clients = [net.cli, ...net.crowd].flatMap((from) =>
        Array.from({ length: 18 }, (_, i) => ({ from, sourcePort: 700 + i })),
      );

      // Of IPv6 with one driver: each takes seconds, and its rules differ from those of IPv4 in words alone.
      const kinds = net.family === 4 ? [net.lan2] : driver === 'nftables' ? ['masquerade'] : [];
      it.each(kinds)('source address %s: the gateway says so; open flows, and flows to another target, go on', async (snat) => {
        // Without memory: what another test saw refused is news for a minute.
        await world.restart();
        const [busy, quiet] = [join(net.t10, 8443), join(net.t10, 80)];
        const wanted = [
          forward(`${join(net.vip, 443)}/tcp`, busy, { snat }),
          forward(`${join(net.vip, 80)}/tcp`, quiet, { snat }),
        ];
        expect((await world.gateway.want(wanted)).conditions.ConntrackRoom).toBe('ENOUGH');
        const { connect, ask } = world.of(net);
        const tried = await Promise.allSettled(clients.map((client) => connect(client)));
        const open = tried.flatMap((t) => (t.status === 'fulfilled' ? [t.value] : []));
        const failed = clients.filter((_, i) => tried[i]?.status === 'rejected');
        expect(open.length).toBeLessThanOrEqual(PORTS);
        expect(open.length).toBeGreaterThan(PORTS / 2);
        expect(new Set(open.map((f) => f.answer.peer)).size).toBe(open.length);
        const { conditions, told } = await world.gateway.want(wanted, { fresh: true });
        expect(conditions.ConntrackRoom).toBe('FLOWS_REFUSED');
        expect(told.ConntrackRoom).toMatch(
          /^[1-9]\d* flows of the last minute could not be taken up although \d+ of \d+ .*one source address run out of ports.*use more source addresses or targets/,
        );
        expect(await lives(open[0] as Flow)).toBe('echoed');
        expect(await ask({ ...failed[0], port: 80 })).toBe(quiet);
        // Ports of the usual kind are there in plenty.
        expect(await ask()).toBe(busy);
      });
    });

    describe('an interface loses its address and gets it back during a transfer', () => {
      const flap = async () => {
        const gw = world.lab.host('gw');
        const address = `${net.dmzGw}/${net.family === 4 ? 24 : 64} dev dmz`;
        await gw.ip(`address del ${address}`);
        await gw.ip(`address add ${address}${net.family === 4 ? '' : ' nodad'}`);
      };

      it('a masqueraded connection ends, one with a fixed source address goes on', async () => {
        const target = join(net.dmz, 8080);
        const { connect, tcp, ask } = world.of(net);
        await world.gateway.want([tcp(target), forward(`${join(net.vip, 444)}/tcp`, target, { snat: net.dmzGw })]);
        const transfer = world.lab
          .host('cli')
          .prober({ to: net.vip, port: 444, kind: 'longFlow', rate: 50, timeoutMs: 3000 })
          .start();
        await transfer.settled();
        const [masqueraded, fixed] = [await connect(), await connect({ port: 444 })];
        await flap();
        // The kernel forgets such flows soon after the address, not with it.
        await waitFor(async () => (await lives(masqueraded)) === 'reset', { what: 'the end of the masqueraded connection' });
        expect(await fixed.echo('x'.repeat(100_000), { timeoutMs: 3000 })).toBe('echoed');
        expect(await transfer.stop()).toMatchObject({ survived: true, broken: 0 });
        expect(await ask()).toBe(target);
      });
    });

    describe('a connection is cut', () => {
      /** Speaks as the lab's servers do, and by itself when told to. */
      const server = (address: string) => `
        const shown = (a, p) => (a.includes(':') ? '[' + a + ']:' : a + ':') + p;
        require('net').createServer((s) => {
          s.write(JSON.stringify({ local: shown(s.localAddress, s.localPort), peer: shown(s.remoteAddress, s.remotePort) }) + '\\n');
          s.pipe(s);
          s.on('error', (e) => console.log(e.code));
          process.stdin.on('data', () => s.write('news'));
        }).listen(2222, '${address}', () => console.log('ready'))`;

      it.each([
        ['masquerade', net.t10],
        ['none', net.t50],
      ])('source address %s: the client is told at once, the server when it next sends', async (snat, address) => {
        const { connect, tcp, other } = world.of(net);
        const srv = world.lab.host('srv');
        const running = await srv.spawn([process.execPath, '-e', server(address)], { ready: /ready/ });
        const established = async () => (await srv.exec(['ss', '-Htn', 'state', 'established', 'sport = :2222'])).stdout.trim();
        await world.gateway.want([tcp(join(address, 2222), { snat, onChange: 'cut' }), other]);
        const flow = await connect();
        await world.gateway.want([other]);
        expect(await lives(flow)).toBe('reset');
        expect((await established()).split('\n')).toHaveLength(1);
        expect(await established()).not.toBe('');
        running.stdin.write('\n');
        await running.waitForOutput(/ECONNRESET/);
        expect(await established()).toBe('');
        await running.stop();
      });
    });
  });

  // Rules have no part in it.
  if (driver === 'nftables')
    it('the connection tracking table is full: new flows get no answer, which the gateway says; open ones go on', async () => {
      const gw = world.lab.host('gw');
      const { tcp, connect, ask } = world.of(IPV4);
      const target = join(IPV4.t10, 8443);
      const wanted = [tcp(target)];
      await world.restart();
      expect((await world.gateway.want(wanted)).conditions.ConntrackRoom).toBe('ENOUGH');
      const flow = await connect();
      const max = await fill(gw);
      expect([await ask(), await lives(flow)]).toEqual(['timeout', 'echoed']);
      const { conditions, told } = await world.gateway.want(wanted, { fresh: true });
      expect(conditions.ConntrackRoom).toBe('NEARLY_FULL');
      expect(told.ConntrackRoom).toMatch(
        new RegExp(`^${max} of ${max} flows are tracked; .*raise net.netfilter.nf_conntrack_max`),
      );
      await gw.exec(['conntrack', '-F']);
      expect(await ask()).toBe(target);
      // What was refused a moment ago is still news.
      expect((await world.gateway.want(wanted, { fresh: true })).conditions.ConntrackRoom).toBe('FLOWS_REFUSED');
    });
});

/**
 * Flows of nobody, which have had an answer: the kernel gives up none of these for a new one. The bound is the machine's, and cannot be
 * lowered from here; how many flows there are is each namespace's own. Gives the bound.
 */
async function fill(gw: Host): Promise<number> {
  const setting = async (name: string) => Number(await gw.readSysctl(`net.netfilter.nf_conntrack_${name}`));
  const max = await setting('max');
  if (max > 1_000_000)
    throw new Error(`to fill a table of ${max} flows takes too long: set net.netfilter.nf_conntrack_max to 262144, the default`);
  const lines = Array.from({ length: max - (await setting('count')) }, (_, i) => {
    const source = `10.${100 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}`;
    return `-A -t 600 -u SEEN_REPLY,ASSURED -s ${source} -d 10.99.0.1 -p udp --sport 1000 --dport 53\n`;
  });
  await gw.exec(['sh', '-c', 'cat | conntrack -R -'], { stdin: lines.join(''), timeoutMs: 60_000 });
  expect(await setting('count')).toBe(max);
  return max;
}
