import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Lab } from '../lab/index.js';
import { dropByDefault } from './foreign.js';
import { Gateway } from './gateway.js';
import { type Row, SERVERS, STATES } from './states.js';
import { DRIVERS, type TableHost, topology } from './topology.js';

/** A packet that gets no answer costs this long. */
const TIMEOUT_MS = 250;

describe.each(DRIVERS)('the packet table with %s', (driver) => {
  let lab: Lab<TableHost>;
  let gateway: Gateway;

  beforeAll(async () => {
    lab = await Lab.create(topology);
    await dropByDefault(lab.host('gw'), driver);
    for (const host of ['srv', 'off', 'gw'] as const) await lab.host(host).serve(SERVERS[host]);
    gateway = await Gateway.on(lab.host('gw'));
    await gateway.start(driver, lab.directory('state'));
  });
  afterAll(() => lab.destroy());

  async function resultOf({ from, source, proto, to, port }: Row): Promise<unknown> {
    const answer = await lab
      .host(from)
      .ask({ proto, to, port, timeoutMs: TIMEOUT_MS, ...(source === undefined ? {} : { from: source }) });
    return typeof answer === 'string' ? answer : { at: answer.local, seenAs: answer.peer.replace(/:\d+$/, '') };
  }

  it.each(STATES)('$name', async ({ forwards, refused, rows }) => {
    const { verdicts } = await gateway.want(forwards);
    expect(verdicts).toEqual(Object.fromEntries(forwards.map((f) => [f.name, refused?.[f.name] ?? 'place'])));
    const results = await Promise.all(rows.map(resultOf));
    expect(rows.map((row, i) => ({ ...row, result: results[i] }))).toEqual(rows);
    expect(await gateway.look()).toEqual([]);
    expect((await gateway.want(forwards, { fresh: true })).steps).toEqual([]);
  });

  it('leaves nothing once nothing is wanted', async () => {
    await gateway.want([]);
    const left = await lab.snapshotRules('gw', { without: null });
    expect(JSON.stringify(left)).not.toMatch(/gwctl/i);
    expect(await lab.host('gw').readSysctl('net.ipv4.ip_forward')).toBe('1');
  });
});
