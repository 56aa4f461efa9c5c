import { afterAll, beforeAll, expect, it } from 'vitest';
import { Lab } from '../lab/index.js';
import { type ForwardOptions, forward } from './forwards.js';
import { Gateway } from './gateway.js';
import { sent } from './measuring.js';
import { IPV4, IPV6, join, NETS } from './net.js';
import { at, row } from './rows.js';
import { SERVERS } from './states.js';
import { type TableHost, topology } from './topology.js';

/** Without any capability: not even root may then touch a rule, or listen below 1024. */
const UNPRIVILEGED = ['setpriv', '--bounding-set=-all', '--inh-caps=-all'];

let lab: Lab<TableHost>;
let gateway: Gateway;

beforeAll(async () => {
  lab = await Lab.create(topology);
  for (const host of ['srv', 'cli'] as const) await lab.host(host).serve(SERVERS[host]);
  gateway = await Gateway.on(lab.host('gw'), UNPRIVILEGED);
});
afterAll(async () => {
  await gateway?.cleanUp();
  await lab?.destroy();
});

it('finds that no kernel driver works, and carries what it can', async () => {
  const { driver, capabilities } = await gateway.start('auto', lab.directory('state'));
  expect(driver).toBe('relay');
  expect(capabilities.filter((c) => c.supported).map((c) => c.name)).toEqual(['driver.relay']);
  const forwards = [
    ...NETS.map((n) => forward(`${join(n.vip, 8443)}/tcp+udp`, join(n.t20, 5353))),
    forward('9000-9010/tcp', join(IPV4.t20, 5000), { name: 'range' }),
    forward(`${join(IPV4.vip, 8444)}/tcp`, join(IPV6.t10, 80), { name: 'joined' }),
  ];
  const { verdicts, findings } = await gateway.want(forwards);
  expect([new Set(Object.values(verdicts)), findings]).toEqual([new Set(['relay']), {}]);
  const rows = [
    ...NETS.flatMap((n) => (['tcp', 'udp'] as const).map((p) => row('cli', p, n.vip, 8443, at(n.t20, 5353, n.lan)))),
    row('cli', 'tcp', IPV4.wan, 9007, at(IPV4.t20, 5007, IPV4.lan)),
    row('cli', 'tcp', IPV4.vip, 8444, at(IPV6.t10, 80, IPV6.lan)),
    row('cli', 'tcp', IPV4.vip, 8445, 'refused'),
  ];
  expect(await sent(lab, rows)).toEqual(rows);
  expect(await gateway.look()).toEqual([]);
});

it('says of what it cannot carry why', async () => {
  const one = (name: string, options: ForwardOptions = {}, listen = `${join(IPV4.vip, 8443)}/tcp`) =>
    forward(listen, join(IPV4.t10, 80), { name, ...options });
  const kernel = one('kernel', {}, `${join(IPV4.vip, 8446)}/tcp`);
  const { verdicts, findings } = await gateway.want([
    one('kept', { snat: 'none' }),
    one('announced', { announce: true }, `${join(IPV4.neighbour, 8447)}/tcp`),
    { ...kernel, spec: { ...kernel.spec, driver: 'kernel' } },
    one('low', {}, `${join(IPV4.vip, 81)}/tcp`),
  ]);
  expect(verdicts).toEqual({
    kept: 'RELAY_CANNOT',
    announced: 'NOT_SUPPORTED_YET',
    kernel: 'DRIVER_NOT_AVAILABLE',
    low: 'relay',
  });
  expect(findings).toEqual({ low: expect.stringContaining('CAP_NET_BIND_SERVICE') });
});

it('leaves nothing in the packet filters, and never had anything there', async () => {
  expect(JSON.stringify(await lab.snapshotRules('gw', { without: null }))).not.toMatch(/gwctl/i);
});
