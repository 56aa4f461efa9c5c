import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Flow, Lab, waitFor } from '../lab/index.js';
import { dropByDefault } from './foreign.js';
import { forward } from './forwards.js';
import { Gateway } from './gateway.js';
import { SERVERS } from './states.js';
import { DRIVERS, type TableHost, topology } from './topology.js';

const TIMEOUT_MS = 300;
const VIP = '203.0.113.10';
/** Stays in place, so that the forward under test is not the last one. */
const other = forward(`${VIP}:9/tcp`, '10.0.0.20:53');
const tcp = (target: string, options: Parameters<typeof forward>[2] = {}) => forward(`${VIP}:443/tcp`, target, options);
const udp = (target: string, options: Parameters<typeof forward>[2] = {}) => forward(`${VIP}:443/udp`, target, options);
const OLD = '10.0.0.10:8443';
const NEW = '10.0.0.50:9999';

/** What existing and new flows see when forwards change, while another tool drops by default in the forward hook. */
describe.each(DRIVERS)('flows when forwards change, with %s', (driver) => {
  let lab: Lab<TableHost>;
  let gateway: Gateway;
  const open: Flow[] = [];

  beforeAll(async () => {
    lab = await Lab.create(topology);
    await dropByDefault(lab.host('gw'), driver);
    await lab.host('srv').serve(SERVERS.srv);
    gateway = await Gateway.on(lab.host('gw'));
    await gateway.start(driver, lab.directory('state'));
  });
  afterEach(async () => {
    await Promise.all(open.splice(0).map((flow) => flow.close()));
    await gateway.cleanUp();
  });
  afterAll(() => lab.destroy());

  async function connect(options: { proto?: 'tcp' | 'udp'; from?: string } = {}): Promise<Flow> {
    const flow = await lab.host('cli').open({ proto: 'tcp', to: VIP, port: 443, timeoutMs: 1000, ...options });
    open.push(flow);
    return flow;
  }
  async function ask(options: { proto?: 'tcp' | 'udp'; from?: string; sourcePort?: number } = {}): Promise<string> {
    const answer = await lab.host('cli').ask({ proto: 'tcp', to: VIP, port: 443, timeoutMs: TIMEOUT_MS, ...options });
    return typeof answer === 'string' ? answer : answer.local;
  }
  const lives = (flow: Flow) => flow.echo('still there', { timeoutMs: TIMEOUT_MS });
  const rulesOfOurs = async () =>
    JSON.stringify(await lab.snapshotRules('gw', { without: null })).match(/GWCTL-[A-Z]+|gwctl:companion|table ip gwctl/g) ?? [];

  describe('another target', () => {
    it.each(['drain', 'keep'] as const)('%s: a TCP connection stays, a new one goes to the new target', async (onChange) => {
      await gateway.want([tcp(OLD, { onChange }), other]);
      const flow = await connect();
      await gateway.want([tcp(NEW, { onChange }), other]);
      expect(await lives(flow)).toBe('echoed');
      expect(await ask()).toBe(NEW);
    });

    it('cut: a TCP connection ends', async () => {
      await gateway.want([tcp(OLD, { onChange: 'cut' }), other]);
      const flow = await connect();
      await gateway.want([tcp(NEW, { onChange: 'cut' }), other]);
      expect(await lives(flow)).not.toBe('echoed');
      expect(await ask()).toBe(NEW);
    });

    it.each(['drain', 'cut'] as const)('%s: a UDP client that keeps sending moves at once', async (onChange) => {
      await gateway.want([udp(OLD, { onChange }), other]);
      expect(await ask({ proto: 'udp', sourcePort: 40_000 })).toBe(OLD);
      await gateway.want([udp(NEW, { onChange }), other]);
      expect(await ask({ proto: 'udp', sourcePort: 40_000 })).toBe(NEW);
    });

    it('keep: a UDP client that keeps sending stays', async () => {
      await gateway.want([udp(OLD, { onChange: 'keep' }), other]);
      expect(await ask({ proto: 'udp', sourcePort: 40_001 })).toBe(OLD);
      await gateway.want([udp(NEW, { onChange: 'keep' }), other]);
      expect(await ask({ proto: 'udp', sourcePort: 40_001 })).toBe(OLD);
      expect(await ask({ proto: 'udp', sourcePort: 40_002 })).toBe(NEW);
    });

    it('leaves the UDP flows of others alone', async () => {
      const cli = lab.host('cli');
      await gateway.want([udp(OLD), other]);
      expect(await ask({ proto: 'udp', sourcePort: 40_003 })).toBe(OLD);
      const passing = { proto: 'udp', to: '10.0.0.50', port: 53, sourcePort: 40_003 } as const;
      expect(await cli.ask(passing)).toMatchObject({ local: '10.0.0.50:53' });
      await gateway.want([udp(NEW), other]);
      const table = (await lab.host('gw').exec(['conntrack', '-L', '-p', 'udp'])).stdout;
      expect(
        table
          .split('\n')
          .filter((l) => l.includes('sport=40003'))
          .map((l) => /dport=\d+/.exec(l)?.[0]),
      ).toEqual(['dport=53']);
    });
  });

  it('a UDP client that sent before there was a forward is served once there is', async () => {
    await gateway.want([other]);
    expect(await ask({ proto: 'udp', sourcePort: 40_010 })).toBe('refused');
    await gateway.want([udp(OLD), other]);
    expect(await ask({ proto: 'udp', sourcePort: 40_010 })).toBe(OLD);
  });

  it('so it is where the forward is for every address', async () => {
    const wildcard = forward('443/udp', OLD);
    await gateway.want([other]);
    expect(await ask({ proto: 'udp', sourcePort: 40_011 })).toBe('refused');
    await gateway.want([wildcard, other]);
    expect(await ask({ proto: 'udp', sourcePort: 40_011 })).toBe(OLD);
  });

  it('a half-closed connection gets its answer although the target changed meanwhile', async () => {
    const script = {
      server: `const n=require('net');n.createServer({allowHalfOpen:true},(s)=>{s.on('data',()=>{}).on('end',()=>{console.log('fin');process.stdin.once('data',()=>s.end('late answer'))})}).listen(2222,'10.0.0.31',()=>console.log('ready'))`,
      client: `const s=require('net').connect({host:'${VIP}',port:443,allowHalfOpen:true},()=>s.end('question'));s.on('data',(d)=>console.log(String(d))).on('error',(e)=>console.log(e.code)).on('end',()=>process.exit())`,
    };
    await gateway.want([tcp('10.0.0.31:2222'), other]);
    const server = await lab.host('srv').spawn([process.execPath, '-e', script.server], { ready: /ready/ });
    const client = await lab.host('cli').spawn([process.execPath, '-e', script.client]);
    await server.waitForOutput(/fin/);
    await gateway.want([tcp(NEW), other]);
    server.stdin.write('now\n');
    await client.waitForExit();
    expect(client.stdout).toBe('late answer\n');
    await server.stop();
  });

  describe('removal', () => {
    it.each(['drain', 'keep'] as const)('%s: a TCP connection goes on, a new one is refused', async (onChange) => {
      await gateway.want([tcp(OLD, { onChange }), other]);
      const flow = await connect();
      await gateway.want([other]);
      expect(await lives(flow)).toBe('echoed');
      expect(await ask()).toBe('refused');
    });

    it('cut: a TCP connection ends', async () => {
      await gateway.want([tcp(OLD, { onChange: 'cut' }), other]);
      const flow = await connect();
      await gateway.want([other]);
      expect(await lives(flow)).not.toBe('echoed');
    });

    it('drain: a UDP client is no longer served', async () => {
      await gateway.want([udp(OLD), other]);
      const flow = await connect({ proto: 'udp' });
      await gateway.want([other]);
      expect(await lives(flow)).not.toBe('echoed');
    });

    it('of the last forward, drain: what a connection lives on stays until it ends, and nothing longer', async () => {
      await gateway.want([tcp(OLD)]);
      const flow = await connect();
      await gateway.want([]);
      expect(await lives(flow)).toBe('echoed');
      expect(new Set(await rulesOfOurs())).toEqual(
        new Set(driver === 'nftables' ? ['gwctl:companion', 'table ip gwctl'] : ['GWCTL-FWD']),
      );
      expect(await gateway.look()).toEqual([]);
      expect(await ask()).toBe('refused');
      await flow.close('end');
      await waitFor(
        async () => {
          await gateway.want([]);
          return (await rulesOfOurs()).length === 0;
        },
        { what: 'nothing of ours left' },
      );
      expect((await gateway.want([])).steps).toEqual([]);
    });

    it('of the last forward, without connections: nothing stays', async () => {
      await gateway.want([tcp(OLD), udp(OLD)]);
      expect(await ask()).toBe(OLD);
      expect(await ask({ proto: 'udp' })).toBe(OLD);
      await gateway.want([]);
      expect(await rulesOfOurs()).toEqual([]);
    });
  });

  it('a narrower allow-list cuts who is no longer on it, and nobody else', async () => {
    await gateway.want([tcp(OLD, { onChange: 'keep' }), udp(OLD), other]);
    const [stays, goes, udpGoes] = [
      await connect({ from: '198.51.100.3' }),
      await connect({ from: '198.51.100.66' }),
      await connect({ proto: 'udp', from: '198.51.100.66' }),
    ];
    const allow = ['198.51.100.0/26'];
    await gateway.want([tcp(OLD, { onChange: 'keep', allow }), udp(OLD, { allow }), other]);
    expect([await lives(stays), await lives(goes), await lives(udpGoes)]).toEqual(['echoed', 'timeout', 'timeout']);
    expect([await ask({ from: '198.51.100.3' }), await ask({ from: '198.51.100.66' })]).toEqual([OLD, 'timeout']);
    await gateway.want([tcp(OLD, { onChange: 'keep' }), udp(OLD), other]);
    expect(await ask({ from: '198.51.100.66' })).toBe(OLD);
  });

  it('another source address: connections keep theirs, new ones get the new', async () => {
    const seenAs = async () => {
      const answer = await lab.host('cli').ask({ proto: 'tcp', to: VIP, port: 443 });
      return typeof answer === 'string' ? answer : answer.peer.replace(/:\d+$/, '');
    };
    await gateway.want([tcp(OLD)]);
    const flow = await connect();
    await gateway.want([tcp(OLD, { snat: '10.0.0.2' })]);
    expect([await lives(flow), await seenAs()]).toEqual(['echoed', '10.0.0.2']);
    await gateway.want([tcp(OLD, { snat: 'none' })]);
    expect([await lives(flow), await seenAs()]).toEqual(['echoed', '198.51.100.2']);
  });

  it('nothing is lost while other forwards come and go', async () => {
    await gateway.want([tcp(OLD), udp(OLD)]);
    const cli = lab.host('cli');
    const probers = (['tcp', 'udp'] as const).flatMap((proto) => [
      cli.prober({ to: VIP, port: 443, proto }).start(),
      cli.prober({ to: VIP, port: 443, proto, kind: 'longFlow' }).start(),
    ]);
    await Promise.all(probers.map((p) => p.settled()));
    const times: Record<'add' | 'remove', number[]> = { add: [], remove: [] };
    for (let i = 0; i < 25; i++) {
      const more = forward(`${VIP}:${5000 + i}/${i % 3 ? 'tcp' : 'udp'}`, NEW, { allow: ['198.51.100.0/24'] });
      times.add.push((await gateway.want([tcp(OLD), udp(OLD), more])).ms);
      times.remove.push((await gateway.want([tcp(OLD), udp(OLD)])).ms);
    }
    const reports = await Promise.all(probers.map((p) => p.stop()));
    for (const report of reports) expect(report).toMatchObject({ lost: 0, refused: 0, broken: 0, survived: true });
    const median = (all: number[]) => (all.sort((a, b) => a - b)[Math.floor(all.length / 2)] ?? 0).toFixed(1);
    process.stderr.write(
      `${driver}: p50 of a change, read back: add ${median(times.add)} ms, remove ${median(times.remove)} ms\n`,
    );
  });
});
