import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Lab } from '../lab/index.js';
import { rootOnly } from '../lab/root-only.js';
import { dropByDefault } from './foreign.js';
import { Gateway } from './gateway.js';
import { measured, sent } from './measuring.js';
import type { State } from './rows.js';
import { SERVERS, STATES } from './states.js';
import { DRIVERS, type TableHost, topology } from './topology.js';

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

  const holds = async ({ forwards, egresses = [], names = {}, unhealthy = [], refused, rows, spreads = [] }: State) => {
    const rest = { egresses, names, unhealthy };
    // A connection of the state before may still be closing, and a new one from the same port would go where that one went.
    await lab.host('gw').exec(['conntrack', '-F']);
    const { verdicts } = await gateway.want(forwards, rest);
    const expected = [...forwards.map((f) => [f.name, 'place']), ...egresses.map((e) => [e.name, 'place-egress'])];
    expect(verdicts, 'what the planner says').toEqual({ ...Object.fromEntries(expected), ...refused });
    expect(await sent(lab, rows), 'where packets go').toEqual(rows);
    for (const spread of spreads) expect(await measured(lab.host(spread.from), spread), 'shares of the targets').toEqual(spread);
    expect(await gateway.look(), 'drift right after it was applied').toEqual([]);
    // What flows of the state before lived on may still go now; after that there is nothing left to do.
    await gateway.want(forwards, { ...rest, fresh: true });
    expect((await gateway.want(forwards, { ...rest, fresh: true })).steps, 'steps when nothing changed').toEqual([]);
  };

  for (const state of STATES) {
    const check = () => holds(state);
    if (state.wide && driver === 'nftables') rootOnly(state.name, 'wideTransaction', check);
    else it(state.name, check);
  }

  it('leaves nothing once nothing is wanted', async () => {
    await gateway.want([]);
    const left = await lab.snapshotRules('gw', { without: null });
    expect(JSON.stringify(left)).not.toMatch(/gwctl/i);
    expect(await lab.host('gw').ip('-o addr show')).not.toMatch(/198\.51\.100\.50|2001:db8:1::50/);
    expect(await lab.host('gw').readSysctl('net.ipv4.ip_forward')).toBe('1');
    expect(await lab.host('gw').readSysctl('net.ipv6.conf.all.forwarding')).toBe('1');
  });
});
