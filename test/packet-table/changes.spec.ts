import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { FlowLab, lives, type Proto } from './flow-lab.js';
import { forward } from './forwards.js';
import { join, NETS } from './net.js';
import { DRIVERS } from './topology.js';

/**
 * What existing and new flows see when a forward comes, when its target changes and when it goes, while another tool drops by default in
 * the forward hook. A UDP client that keeps its source port is one flow to connection tracking, so it is the one that can get stuck.
 */
const POLICIES = ['drain', 'cut', 'keep'] as const;

describe.each(DRIVERS)('flows when forwards change, with %s', (driver) => {
  let world: FlowLab;
  beforeAll(async () => {
    world = await FlowLab.start(driver);
  });
  afterEach(() => world.reset());
  afterAll(() => world?.stop());

  describe.each(NETS)('$label', (net) => {
    const [OLD, NEW] = [join(net.t10, 8443), join(net.t50, 9999)];
    const it4 = () => world.of(net);
    const fixed = (sourcePort: number) => ({ proto: 'udp', sourcePort }) as const;

    describe('a forward is added', () => {
      it.each(POLICIES)('%s: a UDP client that sent before is served at once', async (onChange) => {
        const { ask, udp, other } = it4();
        await world.gateway.want([other]);
        expect(await ask(fixed(40_010))).toBe('refused');
        await world.gateway.want([udp(OLD, { onChange }), other]);
        expect(await ask(fixed(40_010))).toBe(OLD);
      });

      it.each([
        ['at every address', () => forward('443/udp', OLD)],
        ['of several ports', () => forward(`${join(net.vip, '440-450')}/udp`, join(net.t31, 7000))],
        ['of TCP and UDP', () => forward(`${join(net.vip, 443)}/tcp+udp`, OLD)],
      ] as const)('so it is with one %s', async (_, wanted) => {
        const { ask, other } = it4();
        await world.gateway.want([other]);
        expect(await ask(fixed(40_011))).toBe('refused');
        await world.gateway.want([wanted(), other]);
        expect(await ask(fixed(40_011))).toMatch(/:(8443|7003)$/);
      });

      it('so it is with all protocols of an address, ICMP too', async () => {
        const { ask, other } = it4();
        const bare = (address: string) => (net.family === 4 ? address : `[${address}]`);
        await world.gateway.want([other]);
        const question = { ...fixed(40_012), to: net.nobody, port: 8443 };
        expect(await ask(question)).toBe('timeout');
        await world.gateway.want([forward(`${bare(net.nobody)}/all`, bare(net.t10)), other]);
        expect(await ask(question)).toBe(OLD);
      });

      it('flows of others that look alike are left alone', async () => {
        const { ask, udp, other } = it4();
        await world.gateway.want([other]);
        const passing = { ...fixed(40_013), to: net.t50, port: 53 };
        expect(await ask(passing)).toBe(join(net.t50, 53));
        const id = async () => {
          const family = net.family === 4 ? 'ipv4' : 'ipv6';
          const { stdout } = await world.lab.host('gw').exec(['conntrack', '-L', '-f', family, '-p', 'udp', '-o', 'id']);
          return stdout.split('\n').flatMap((l) => (l.includes('sport=40013') ? [/ id=(\d+)/.exec(l)?.[1]] : []));
        };
        const before = await id();
        expect(before).toHaveLength(1);
        await world.gateway.want([udp(OLD), other]);
        await world.gateway.want([udp(NEW), other]);
        await world.gateway.want([other]);
        expect(await id()).toEqual(before);
      });
    });

    describe('another target', () => {
      it.each(['drain', 'keep'] as const)('%s: a TCP connection stays, a new one goes to the new target', async (onChange) => {
        const { connect, ask, tcp, other } = it4();
        await world.gateway.want([tcp(OLD, { onChange }), other]);
        const flow = await connect();
        await world.gateway.want([tcp(NEW, { onChange }), other]);
        expect(await lives(flow)).toBe('echoed');
        expect(await ask()).toBe(NEW);
      });

      it('cut: a TCP connection ends', async () => {
        const { connect, ask, tcp, other } = it4();
        await world.gateway.want([tcp(OLD, { onChange: 'cut' }), other]);
        const flow = await connect();
        await world.gateway.want([tcp(NEW, { onChange: 'cut' }), other]);
        expect(await lives(flow)).not.toBe('echoed');
        expect(await ask()).toBe(NEW);
      });

      it.each(['drain', 'cut'] as const)('%s: a UDP client that keeps sending moves at once', async (onChange) => {
        const { ask, udp, other } = it4();
        await world.gateway.want([udp(OLD, { onChange }), other]);
        expect(await ask(fixed(40_000))).toBe(OLD);
        await world.gateway.want([udp(NEW, { onChange }), other]);
        expect(await ask(fixed(40_000))).toBe(NEW);
      });

      it('keep: a UDP client that keeps sending stays', async () => {
        const { ask, udp, other } = it4();
        await world.gateway.want([udp(OLD, { onChange: 'keep' }), other]);
        expect(await ask(fixed(40_001))).toBe(OLD);
        await world.gateway.want([udp(NEW, { onChange: 'keep' }), other]);
        expect(await ask(fixed(40_001))).toBe(OLD);
        expect(await ask(fixed(40_002))).toBe(NEW);
      });

      it('drain: of TCP and UDP in one forward, each as its kind', async () => {
        const { connect, ask, both, other } = it4();
        await world.gateway.want([both(OLD), other]);
        const flow = await connect();
        expect(await ask(fixed(40_003))).toBe(OLD);
        await world.gateway.want([both(NEW), other]);
        expect([await lives(flow), await ask(fixed(40_003)), await ask()]).toEqual(['echoed', NEW, NEW]);
      });

      it('drain: of a range moved to other ports, each as its kind', async () => {
        const { connect, ask, other } = it4();
        const range = (first: number) => forward(`${join(net.vip, '440-443')}/tcp+udp`, join(net.t20, first));
        await world.gateway.want([range(5000), other]);
        const flow = await connect();
        expect([flow.answer.local, await ask(fixed(40_004))]).toEqual([join(net.t20, 5003), join(net.t20, 5003)]);
        await world.gateway.want([range(5004), other]);
        expect([await lives(flow), await ask(fixed(40_004)), await ask()]).toEqual([
          'echoed',
          join(net.t20, 5007),
          join(net.t20, 5007),
        ]);
      });

      it('a half-closed connection gets its answer although the target changed meanwhile', async () => {
        const { tcp, other } = it4();
        const script = {
          server: `const n=require('net');n.createServer({allowHalfOpen:true},(s)=>{s.on('data',()=>{}).on('end',()=>{console.log('fin');process.stdin.once('data',()=>s.end('late answer'))})}).listen(2222,'${net.t31}',()=>console.log('ready'))`,
          client: `const s=require('net').connect({host:'${net.vip}',port:443,allowHalfOpen:true},()=>s.end('question'));s.on('data',(d)=>console.log(String(d))).on('error',(e)=>console.log(e.code)).on('end',()=>process.exit())`,
        };
        await world.gateway.want([tcp(join(net.t31, 2222)), other]);
        const server = await world.lab.host('srv').spawn([process.execPath, '-e', script.server], { ready: /ready/ });
        const client = await world.lab.host('cli').spawn([process.execPath, '-e', script.client]);
        await server.waitForOutput(/fin/);
        await world.gateway.want([tcp(NEW), other]);
        server.stdin.write('now\n');
        await client.waitForExit();
        expect(client.stdout).toBe('late answer\n');
        await server.stop();
      });
    });

    describe('one of several targets goes', () => {
      const [A, B] = [join(net.t31, 80), join(net.t50, 80)];
      /** Flows until each target has one, of UDP with the source port to go on with. */
      async function oneEach(proto: Proto) {
        const { connect, ask } = it4();
        const found = new Map<string, { sourcePort: number; flow?: Awaited<ReturnType<typeof connect>> }>();
        for (let i = 0; i < 60 && found.size < 2; i++) {
          const sourcePort = 41_000 + i;
          if (proto === 'udp') found.set(await ask(fixed(sourcePort)), { sourcePort });
          else {
            const flow = await connect();
            found.set(flow.answer.local, { sourcePort, flow });
          }
        }
        const [onA, onB] = [found.get(A), found.get(B)];
        if (!onA || !onB) throw new Error(`not both targets are used: ${[...found.keys()].join(', ')}`);
        return { onA, onB };
      }
      // A target that is no longer wanted, and one that is found dead: its flows are beyond saving unless they are to be kept.
      const removed = {
        what: 'taken out of the forward',
        after: [B],
        unhealthy: [],
        tcp: { drain: true, cut: false, keep: true },
      };
      const dead = { what: 'found down', after: [A, B], unhealthy: [A], tcp: { drain: false, cut: false, keep: true } };

      describe.each([removed, dead])('$what', ({ after, unhealthy, tcp: stays }) => {
        it.each(POLICIES)('%s: its TCP connections, the others untouched', async (onChange) => {
          const { tcp, other, ask } = it4();
          await world.gateway.want([tcp([A, B], { onChange }), other]);
          const { onA, onB } = await oneEach('tcp');
          await world.gateway.want([tcp(after, { onChange }), other], { unhealthy });
          if (!onA.flow || !onB.flow) throw new Error('no flow');
          expect(await lives(onB.flow)).toBe('echoed');
          expect((await lives(onA.flow)) === 'echoed').toBe(stays[onChange]);
          expect([await ask(), await ask(), await ask(), await ask()]).toEqual([B, B, B, B]);
        });

        // Health is asked over TCP, so a forward of both is what can lose its UDP flows that way.
        it.each(POLICIES)('%s: its UDP clients, the others untouched', async (onChange) => {
          const { both, other, ask } = it4();
          await world.gateway.want([both([A, B], { onChange }), other]);
          const { onA, onB } = await oneEach('udp');
          await world.gateway.want([both(after, { onChange }), other], { unhealthy });
          expect(await ask(fixed(onB.sourcePort))).toBe(B);
          expect(await ask(fixed(onA.sourcePort))).toBe(onChange === 'keep' ? A : B);
        });
      });

      it('it comes back: new flows use it, old ones stay where they are', async () => {
        const { tcp, other, ask, connect } = it4();
        await world.gateway.want([tcp([A, B]), other], { unhealthy: [A] });
        const flow = await connect();
        expect(flow.answer.local).toBe(B);
        await world.gateway.want([tcp([A, B]), other]);
        const reached = new Set(await Promise.all(Array.from({ length: 40 }, () => ask())));
        expect([await lives(flow), [...reached].sort()]).toEqual(['echoed', [A, B].sort()]);
      });

      it('clients with affinity whose target stays are not moved', async () => {
        const { ask, other } = it4();
        const wanted = (all: readonly string[]) => forward(`${join(net.vip, 443)}/tcp`, all, { affinity: 'client' });
        const C = join(net.t10, 80);
        await world.gateway.want([wanted([A, B, C]), other]);
        const where = async () => Promise.all(net.crowd.map((from) => ask({ from })));
        const before = await where();
        expect(new Set(before)).toEqual(new Set([A, B, C]));
        await world.gateway.want([wanted([B, C]), other]);
        const after = await where();
        expect(after.filter((_, i) => before[i] !== A)).toEqual(before.filter((b) => b !== A));
        expect(after).not.toContain(A);
      });
    });

    describe('removal', () => {
      it.each(['drain', 'keep'] as const)('%s: a TCP connection goes on, a new one is refused', async (onChange) => {
        const { connect, ask, tcp, other } = it4();
        await world.gateway.want([tcp(OLD, { onChange }), other]);
        const flow = await connect();
        await world.gateway.want([other]);
        expect(await lives(flow)).toBe('echoed');
        expect(await ask()).toBe('refused');
      });

      it('cut: a TCP connection ends', async () => {
        const { connect, ask, tcp, other } = it4();
        await world.gateway.want([tcp(OLD, { onChange: 'cut' }), other]);
        const flow = await connect();
        await world.gateway.want([other]);
        expect(await lives(flow)).not.toBe('echoed');
        expect(await ask()).toBe('refused');
      });

      it.each(['drain', 'cut'] as const)('%s: a UDP client is no longer served', async (onChange) => {
        const { ask, udp, other } = it4();
        await world.gateway.want([udp(OLD, { onChange }), other]);
        expect(await ask(fixed(40_020))).toBe(OLD);
        await world.gateway.want([other]);
        expect(await ask(fixed(40_020))).toBe('refused');
      });

      it('keep: a UDP client that keeps sending is served, a new one is not', async () => {
        const { ask, udp, other } = it4();
        await world.gateway.want([udp(OLD, { onChange: 'keep' }), other]);
        expect(await ask(fixed(40_021))).toBe(OLD);
        await world.gateway.want([other]);
        expect([await ask(fixed(40_021)), await ask(fixed(40_022))]).toEqual([OLD, 'refused']);
      });

      it('of a part: the ports that stay keep their flows', async () => {
        const { connect, ask, other } = it4();
        const range = (last: number) =>
          forward(`${join(net.vip, `440-${last}`)}/tcp+udp`, join(net.t20, 5000), { name: 'range', onChange: 'cut' });
        await world.gateway.want([range(445), other]);
        const [stays, goes] = [await connect({ port: 441 }), await connect({ port: 445 })];
        expect([await ask({ ...fixed(40_023), port: 442 }), await ask({ ...fixed(40_024), port: 444 })]).toEqual([
          join(net.t20, 5002),
          join(net.t20, 5004),
        ]);
        await world.gateway.want([range(442), other]);
        expect([await lives(stays), (await lives(goes)) === 'echoed']).toEqual(['echoed', false]);
        expect(await ask({ ...fixed(40_023), port: 442 })).toBe(join(net.t20, 5002));
        expect(await ask({ ...fixed(40_024), port: 444 })).toBe('refused');
      });

      it('of one protocol: flows of the other stay', async () => {
        const { connect, ask, both, tcp, other } = it4();
        await world.gateway.want([both(OLD, { name: 'x' }), other]);
        const flow = await connect();
        expect(await ask(fixed(40_025))).toBe(OLD);
        await world.gateway.want([tcp(OLD, { name: 'x' }), other]);
        expect([await lives(flow), await ask(fixed(40_025))]).toEqual(['echoed', 'refused']);
      });
    });
  });
});
