import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { FlowLab } from './flow-lab.js';
import { type ForwardOptions, forward } from './forwards.js';
import { join, NETS } from './net.js';
import { DRIVERS } from './topology.js';

const PROGRAM = fileURLToPath(new URL('./ftp-main.ts', import.meta.url));
/** Ways to a data connection that each family has. */
const WAYS = { 4: ['pasv', 'port', 'epsv', 'eprt'], 6: ['epsv', 'eprt'] } as const;

/** FTP tells addresses and ports inside its control connection: they must be translated there too, for our listeners only. */
describe.each(DRIVERS)('FTP through a forward, with %s', (driver) => {
  let world: FlowLab;
  beforeAll(async () => {
    world = await FlowLab.start(driver);
    for (const net of NETS)
      for (const port of ['21', '2121'])
        await world.lab
          .host('srv')
          .spawn([process.execPath, '--no-warnings', PROGRAM, 'serve', net.t10, port], { ready: /ready/ });
  });
  afterEach(() => world.reset());
  afterAll(() => world?.stop());

  describe.each(NETS)('$label', (net) => {
    const ftp = (listen: string, port: number, options: ForwardOptions = {}) => forward(listen, join(net.t10, port), options);
    async function get(to: string, port: number, way: string): Promise<string> {
      const argv = [process.execPath, '--no-warnings', PROGRAM, 'get', to, String(port), way];
      return (await world.lab.host('cli').exec(argv)).stdout.trim();
    }
    /** By way: what came. */
    const all = async (to: string, port: number) =>
      Object.fromEntries(await Promise.all(WAYS[net.family].map(async (way) => [way, await get(to, port, way)] as const)));
    const everything = Object.fromEntries(WAYS[net.family].map((way) => [way, `file over ${net.t10}`]));

    it.each(['masquerade', 'none', net.lan2])('port 21, source address %s: active and passive', async (snat) => {
      await world.gateway.want([ftp(`${join(net.vip, 21)}/tcp`, 21, { helper: 'ftp', snat })]);
      expect(await all(net.vip, 21)).toEqual(everything);
    });

    it('port 21 without a word about it: the default knows FTP by its port', async () => {
      await world.gateway.want([ftp(`${join(net.vip, 21)}/tcp`, 21, { helper: 'auto' })]);
      expect(await all(net.vip, 21)).toEqual(everything);
    });

    it('another port at every address, to another port, with an allow-list', async () => {
      await world.gateway.want([ftp('2100/tcp', 2121, { helper: 'ftp', allow: [net.half] })]);
      expect(await all(net.wan, 2100)).toEqual(everything);
    });

    it('several targets: data goes where control went', async () => {
      await world.gateway.want([
        forward(`${join(net.vip, 21)}/tcp`, [join(net.t10, 21), join(net.t10, 2121)], { helper: 'ftp' }),
      ]);
      for (let i = 0; i < 3; i++) expect(await get(net.vip, 21, 'epsv')).toBe(`file over ${net.t10}`);
    });

    it('without a helper only the control connection comes about', async () => {
      await world.gateway.want([ftp(`${join(net.vip, 21)}/tcp`, 21, { helper: 'none' })]);
      const way = net.family === 4 ? 'pasv' : 'epsv';
      expect(await get(net.vip, 21, way)).toMatch(/^failed: (no data connection|connect ECONNREFUSED)/);
    });

    it("others' FTP that passes through is not touched", async () => {
      await world.gateway.want([ftp(`${join(net.vip, 21)}/tcp`, 21, { helper: 'ftp' })]);
      await world.lab
        .host('srv')
        .spawn([process.execPath, '--no-warnings', PROGRAM, 'serve', net.t50, '21'], { ready: /ready/ })
        .then(async (server) => {
          expect(await get(net.t50, 21, 'epsv')).toBe(`file over ${net.t50}`);
          const { stdout } = await world.lab
            .host('gw')
            .exec(['conntrack', '-L', '-f', net.family === 4 ? 'ipv4' : 'ipv6', '-p', 'tcp']);
          expect(stdout.split('\n').filter((l) => l.includes(`dst=${net.t50}`) && /helper=ftp/.test(l))).toEqual([]);
          await server.stop();
        });
    });
  });
});
