import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Host, Lab } from '../lab/index.js';
import { dropByDefault } from './foreign.js';
import { Gateway } from './gateway.js';
import { peerAddress, type Row, type Spread } from './rows.js';
import { SERVERS, STATES } from './states.js';
import { DRIVERS, type TableHost, topology } from './topology.js';

/** A packet that gets no answer costs this long. */
const TIMEOUT_MS = 300;

async function resultOf(host: Host, { source, proto, to, port }: Row): Promise<Row['result'] | string> {
  if (proto === 'icmp') return ping(host, to, source);
  const answer = await host.ask({ proto, to, port, timeoutMs: TIMEOUT_MS, ...(source === undefined ? {} : { from: source }) });
  // Nobody answers for the address: to the client that is the same as no answer.
  if (answer === 'unreachable') return 'timeout';
  return typeof answer === 'string' ? answer : { at: answer.local, seenAs: peerAddress(answer.peer) };
}

async function ping(host: Host, to: string, source?: string): Promise<Row['result'] | string> {
  const from = source === undefined ? [] : ['-I', source];
  const { stdout } = await host.exec(['ping', '-n', '-c', '1', '-W', '0.4', ...from, to], { allowFailure: true });
  const ttl = /ttl=(\d+)/.exec(stdout)?.[1];
  return ttl === undefined ? 'timeout' : ttl === '64' ? 'the gateway' : 'beyond';
}

/** Shares that are right are written as they were expected, so that a failure shows only what is wrong. */
async function measured(host: Host, spread: Spread): Promise<Spread> {
  const { sources, each, proto, to, port } = spread;
  const ask = async (source: string) => {
    const answer = await host.ask({ proto, to, port, timeoutMs: 2000, from: source });
    return { source, target: typeof answer === 'string' ? answer : answer.local };
  };
  const flows = await Promise.all(sources.flatMap((source) => Array.from({ length: each }, () => ask(source))));
  const shares: Record<string, number> = {};
  for (const target of new Set([...Object.keys(spread.shares), ...flows.map((f) => f.target)])) {
    const share = flows.filter((f) => f.target === target).length / flows.length;
    const expected = spread.shares[target] ?? 0;
    const right =
      expected === 1 || expected === 0 ? share === expected : share > 0 && Math.abs(share - expected) <= spread.tolerance;
    shares[target] = right ? expected : Math.round(share * 100) / 100;
  }
  const targetsOf = (source: string) => new Set(flows.filter((f) => f.source === source).map((f) => f.target)).size;
  return { ...spread, shares, sticky: spread.sticky && sources.every((source) => targetsOf(source) === 1) };
}

describe.each(DRIVERS)('the packet table with %s', (driver) => {
  let lab: Lab<TableHost>;
  let gateway: Gateway;

  beforeAll(async () => {
    lab = await Lab.create(topology);
    await dropByDefault(lab.host('gw'), driver);
    for (const host of ['srv', 'off', 'cli', 'dmz', 'gw'] as const) await lab.host(host).serve(SERVERS[host]);
    gateway = await Gateway.on(lab.host('gw'));
    await gateway.start(driver, lab.directory('state'));
  });
  afterAll(() => lab.destroy());

  it.each(STATES)('$name', async ({ forwards, egresses = [], names = {}, unhealthy = [], refused, rows, spreads = [] }) => {
    const rest = { egresses, names, unhealthy };
    const { verdicts } = await gateway.want(forwards, rest);
    const expected = [...forwards.map((f) => [f.name, 'place']), ...egresses.map((e) => [e.name, 'place-egress'])];
    expect(verdicts, 'what the planner says').toEqual({ ...Object.fromEntries(expected), ...refused });
    const results = await Promise.all(rows.map((row) => resultOf(lab.host(row.from), row)));
    expect(
      rows.map((row, i) => ({ ...row, result: results[i] })),
      'where packets go',
    ).toEqual(rows);
    for (const spread of spreads) expect(await measured(lab.host(spread.from), spread), 'shares of the targets').toEqual(spread);
    expect(await gateway.look(), 'drift right after it was applied').toEqual([]);
    // What flows of the state before lived on may still go now; after that there is nothing left to do.
    await gateway.want(forwards, { ...rest, fresh: true });
    expect((await gateway.want(forwards, { ...rest, fresh: true })).steps, 'steps when nothing changed').toEqual([]);
  });

  it('leaves nothing once nothing is wanted', async () => {
    await gateway.want([]);
    const left = await lab.snapshotRules('gw', { without: null });
    expect(JSON.stringify(left)).not.toMatch(/gwctl/i);
    expect(await lab.host('gw').ip('-o addr show')).not.toMatch(/198\.51\.100\.50|2001:db8:1::50/);
    expect(await lab.host('gw').readSysctl('net.ipv4.ip_forward')).toBe('1');
    expect(await lab.host('gw').readSysctl('net.ipv6.conf.all.forwarding')).toBe('1');
  });
});
