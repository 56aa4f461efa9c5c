import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Lab } from '../lab/index.js';
import { dropByDefault, dropInput } from './foreign.js';
import { forward } from './forwards.js';
import { Gateway } from './gateway.js';
import { measured, sent } from './measuring.js';
import { join, NETS } from './net.js';
import { LET_IN, throughRelay } from './relay-rows.js';
import { SERVERS, STATES } from './states.js';
import { type TableHost, topology } from './topology.js';

/** Each engine, and each kernel driver, which opens others' filters for what the relay listens on; in the long form each with each. */
const CASES = [
  ['native', 'nftables'],
  ['portable', 'iptables-nft'],
  ['native', 'iptables-legacy'],
  ...(process.env.GWCTL_LONG
    ? ([
        ['portable', 'nftables'],
        ['native', 'iptables-nft'],
        ['portable', 'iptables-legacy'],
      ] as const)
    : []),
] as const;

/** One listener at every address takes both families, so two of the same port are one too many. */
const TOGETHER = 'IPv4 and IPv6 together';
const RELAYED = STATES.filter((s) => s.forwards.length > 0 && s.name !== TOGETHER).map(throughRelay);

/** What the portable engine cannot do is told of the forward. */
const TIED = expect.stringMatching(/cannot be tied to interface \w+.*portable engine/);

describe.each(CASES)('the packet table through the relay, engine %s beside %s', (engine, driver) => {
  let lab: Lab<TableHost>;
  let gateway: Gateway;

  beforeAll(async () => {
    lab = await Lab.create(topology);
    await dropByDefault(lab.host('gw'), driver);
    await dropInput(lab.host('gw'), driver, LET_IN);
    for (const host of ['srv', 'off', 'cli', 'dmz', 'gw'] as const) await lab.host(host).serve(SERVERS[host]);
    gateway = await Gateway.on(lab.host('gw'));
    const { capabilities } = await gateway.start(driver, lab.directory('state'), engine);
    expect(capabilities).toContainEqual({ name: 'driver.relay', supported: true, detail: expect.stringContaining(engine) });
  });
  afterAll(async () => {
    await gateway?.cleanUp();
    await lab?.destroy();
  });

  it.each(RELAYED)('$name', async ({ forwards, egresses, names, unhealthy, verdicts, rows, spreads }) => {
    const rest = { egresses, names, unhealthy };
    const tied = forwards.filter((f) => engine === 'portable' && f.spec.listen?.interface !== '' && verdicts[f.name] === 'relay');
    const said = await gateway.want(forwards, rest);
    expect(said.verdicts, 'what the planner says').toEqual(verdicts);
    expect(said.findings, 'what the driver found').toEqual(Object.fromEntries(tied.map((f) => [f.name, TIED])));
    if (tied.length > 0) return;
    expect(await sent(lab, rows), 'where packets go').toEqual(rows);
    for (const spread of spreads) expect(await measured(lab.host(spread.from), spread), 'shares of the targets').toEqual(spread);
    expect(await gateway.look(), 'drift right after it was applied').toEqual([]);
    expect((await gateway.want(forwards, { ...rest, fresh: true })).steps, 'steps when nothing changed').toEqual([]);
  });

  it('joins the families, each way', async () => {
    const [four, six] = NETS;
    const relayed = (listen: string, target: string) => forward(listen, target, { onChange: 'cut' });
    const forwards = [
      relayed(`${join(four.vip, 443)}/tcp+udp`, join(six.t20, 5353)),
      relayed(`${join(six.vip, 443)}/tcp+udp`, join(four.t20, 5353)),
      relayed(`${join(four.vip, 444)}/tcp`, join(six.t10, 8443)),
    ];
    const { verdicts } = await gateway.want(forwards);
    expect(Object.values(verdicts)).toEqual(['relay', 'relay', 'relay']);
    const ask = async (to: string, port: number, proto: 'tcp' | 'udp' = 'tcp') => {
      const answer = await lab.host('cli').ask({ proto, to, port, timeoutMs: 1000 });
      return typeof answer === 'string' ? answer : answer.local;
    };
    expect([await ask(four.vip, 443), await ask(four.vip, 443, 'udp'), await ask(four.vip, 444)]).toEqual([
      join(six.t20, 5353),
      join(six.t20, 5353),
      join(six.t10, 8443),
    ]);
    expect([await ask(six.vip, 443), await ask(six.vip, 443, 'udp')]).toEqual([join(four.t20, 5353), join(four.t20, 5353)]);
  });

  it('leaves nothing once nothing is wanted', async () => {
    await gateway.want([]);
    const left = await lab.snapshotRules('gw', { without: null });
    expect(JSON.stringify(left)).not.toMatch(/gwctl/i);
    const listening = await lab.host('gw').exec(['ss', '-Hlntu']);
    expect(listening.stdout).not.toMatch(/:(443|444|5353|8080|7000|5000)\s/);
  });
});
