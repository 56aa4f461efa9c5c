import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { rootOnly } from '../lab/root-only.js';
import { FlowLab, lives } from './flow-lab.js';
import { egress, forward } from './forwards.js';
import { join, NETS, type Net, split } from './net.js';
import type { Segment } from './segment-main.js';
import { DRIVERS, type TableHost } from './topology.js';

const SEGMENT_MAIN = fileURLToPath(new URL('./segment-main.ts', import.meta.url));
/** Beyond every window, and yet in the future: older numbers are not INVALID to newer kernels. */
const AHEAD = 2 ** 28;

/** What belongs to a flow beside its packets: sizes, errors, and segments that connection tracking does not recognise. */
describe.each(DRIVERS)('the path of our flows, with %s', (driver) => {
  let world: FlowLab;
  beforeAll(async () => {
    world = await FlowLab.start(driver);
  });
  afterEach(() => world.reset());
  afterAll(() => world?.stop());

  /** Starts before `traffic` and gives the lines of the first packets that match. */
  async function sniff(host: TableHost, filter: string, count: number, traffic: () => Promise<unknown>): Promise<string[]> {
    const argv = ['tcpdump', '-n', '-S', '-l', '--immediate-mode', '-i', 'eth0', '-c', String(count), ...filter.split(' ')];
    const dump = await world.lab.host(host).spawn(argv, { ready: /listening on/ });
    await traffic();
    await dump.waitForExit();
    return dump.stdout.split('\n').filter(Boolean);
  }

  describe.each(NETS)('$label', (net) => {
    const ipHeaders = net.family === 4 ? 40 : 60;

    describe('segment size where the path takes 1280 bytes', () => {
      const mss = (line: string | undefined) => Number(/mss (\d+)/.exec(line ?? '')?.[1]);
      const sizes = [
        ['clamped', true, 1280 - ipHeaders],
        ['left alone', false, 1500 - ipHeaders],
      ] as const;
      for (const [name, clampMss, expected] of sizes)
        rootOnly(name, 'tcpdump', async () => {
          await world.gateway.want([forward(`${join(net.vip, 443)}/tcp`, join(net.narrow, 80), { clampMss })]);
          const { ask } = world.of(net);
          // The target sees the client's SYN, the client the target's answer to it.
          let toTarget: string | undefined;
          const [toClient] = await sniff('cli', 'src port 443', 1, async () => {
            [toTarget] = await sniff('far', `dst host ${net.narrow} and tcp dst port 80`, 1, () => ask());
          });
          expect([mss(toTarget), mss(toClient)], `${toTarget}\n${toClient}`).toEqual([expected, expected]);
        });

      rootOnly('of another forward, and of what only passes, as it was', 'tcpdump', async () => {
        await world.gateway.want([
          forward(`${join(net.vip, 443)}/tcp`, join(net.narrow, 80), { clampMss: true }),
          forward(`${join(net.vip, 444)}/tcp`, join(net.narrow, 80)),
        ]);
        const [line] = await sniff('far', `dst host ${net.narrow} and tcp dst port 80`, 1, () =>
          world.of(net).ask({ port: 444 }),
        );
        expect(mss(line)).toBe(1500 - ipHeaders);
      });
    });

    describe.each(['masquerade', 'none'])('errors on the way, source address %s', (snat) => {
      const long = 'x'.repeat(30_000);
      it('a router says that packets are too big: a TCP connection gets through', async () => {
        await world.gateway.want([world.of(net).tcp(join(net.far, 80), { snat })]);
        const flow = await world.of(net).connect();
        expect(await flow.echo(long, { timeoutMs: 3000 })).toBe('echoed');
      });

      it('so does a UDP client, once it was told', async () => {
        await world.gateway.want([world.of(net).udp(join(net.far, 80), { snat })]);
        const flow = await world.of(net).connect({ proto: 'udp' });
        const packet = () => flow.echo('x'.repeat(1390), { timeoutMs: 300 });
        await packet();
        expect(await packet()).toBe('echoed');
      });

      it('nobody listens at the target: the client is told at once', async () => {
        const { udp, tcp, ask } = world.of(net);
        await world.gateway.want([udp(join(net.t10, 7), { snat }), tcp(join(net.t10, 7), { snat })]);
        expect([await ask({ proto: 'udp' }), await ask()]).toEqual(['refused', 'refused']);
      });
    });

    it('an error about what left by an egress comes back in', async () => {
      await world.gateway.want([], { egresses: [egress('out', { sources: [net.lanNet], out: 'wan' })] });
      const question = { proto: 'udp', to: net.cli, port: 7, from: net.t20, timeoutMs: 300 } as const;
      expect(await world.lab.host('srv').ask(question)).toBe('refused');
    });

    describe('a segment far outside the window', () => {
      /** Says it in place of `host`, as the last segment of the flow there but for its number. */
      async function interject(host: 'cli' | 'srv', port: number, echo: () => Promise<unknown>): Promise<void> {
        const lines = await sniff(host, `tcp port ${port} and greater ${ipHeaders + 20}`, 2, echo);
        const last = lines.map(parse).findLast((s) => (host === 'cli' ? s.toPort : s.fromPort) === port);
        if (!last) throw new Error(`no segment of ${host} among ${lines.join(' | ')}`);
        const segment = { ...last, sequence: last.sequence + AHEAD } satisfies Segment;
        await world.lab.host(host).exec([process.execPath, '--no-warnings', SEGMENT_MAIN, JSON.stringify(segment)]);
      }
      const wildcard = (n: Net, snat: string) => forward('443/tcp', join(n.t10, 8443), { snat });

      for (const snat of ['masquerade', 'none'])
        rootOnly(`of the client does not end the connection, source address ${snat}`, 'tcpdump', async () => {
          const { tcp, connect } = world.of(net);
          await world.gateway.want([tcp(join(net.t10, 8443), { snat })]);
          const flow = await connect();
          await interject('cli', 443, () => lives(flow));
          expect(await lives(flow)).toBe('echoed');
        });

      rootOnly('of the client does not end one at every address', 'tcpdump', async () => {
        await world.gateway.want([wildcard(net, 'masquerade')]);
        const flow = await world.of(net).connect();
        await interject('cli', 443, () => lives(flow));
        expect(await lives(flow)).toBe('echoed');
      });

      for (const snat of ['masquerade', 'none'])
        rootOnly(`of the target does not end the connection, source address ${snat}`, 'tcpdump', async () => {
          const { tcp, connect } = world.of(net);
          await world.gateway.want([tcp(join(net.t10, 8443), { snat })]);
          const flow = await connect();
          await interject('srv', 8443, () => lives(flow));
          expect(await lives(flow)).toBe('echoed');
        });
    });
  });

  it('IPv6: a link-local source is not sent on, where no answer would come back from', async () => {
    const [net] = NETS.slice(1);
    if (!net) throw new Error('no IPv6');
    await world.gateway.want([forward('53/udp', join(net.t20, 5353)), forward('443/tcp', join(net.t10, 8443))]);
    const address = /inet6 (fe80::[\da-f:]+)\/64/.exec(await world.lab.host('gw').ip('-o -6 addr show dev wan'))?.[1];
    const to = `${address}%eth0`;
    const cli = world.lab.host('cli');
    expect(await cli.ask({ proto: 'tcp', to, port: 443, timeoutMs: 300 })).toBe('refused');
    expect(await cli.ask({ proto: 'udp', to, port: 53, timeoutMs: 300 })).toBe('refused');
    // By a real address of the same host it is served.
    expect(await world.of(net).ask()).toBe(join(net.t10, 8443));
  });
});

/** `12:00:00.0 IP 192.0.2.1.4000 > 192.0.2.2.80: Flags [P.], seq 10:20, ack 7, win …` */
function parse(line: string): Segment {
  const [, from = '', to = '', numbers = ''] = /IP6? (\S+) > (\S+): Flags \[\S+\], (.*)/.exec(line) ?? [];
  const end = (text: string) => split(join(text.slice(0, text.lastIndexOf('.')), text.slice(text.lastIndexOf('.') + 1)));
  const [a, b] = [end(from), end(to)];
  return {
    from: a.address,
    fromPort: Number(a.port),
    to: b.address,
    toPort: Number(b.port),
    sequence: Number(/seq (?:\d+:)?(\d+)/.exec(numbers)?.[1]),
    acknowledged: Number(/ack (\d+)/.exec(numbers)?.[1]),
  };
}
