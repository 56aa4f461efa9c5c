import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Lab, waitFor } from '../lab/index.js';
import { forward } from './forwards.js';
import { Gateway } from './gateway.js';
import { type TableHost, topology } from './topology.js';

const FORWARDS = [
  forward('203.0.113.10:443/tcp', '10.0.0.10:8443', { allow: ['198.51.100.0/24'] }),
  forward('53/udp', '10.0.0.20:5353'),
];

/** What only iptables-nft has: the kernel's announcements, and neighbours that write with nft. */
describe('iptables-nft beside nft', () => {
  let lab: Lab<TableHost>;
  let gateway: Gateway;

  beforeAll(async () => {
    lab = await Lab.create(topology);
    gateway = await Gateway.on(lab.host('gw'));
    await gateway.start('iptables-nft', lab.directory('state'));
  });
  afterEach(() => gateway.cleanUp());
  afterAll(() => lab.destroy());

  const nft = (text: string) => lab.host('gw').exec(['nft', '-f', '-'], { stdin: text });

  it('hears from the kernel what others change, and not what it changes itself', async () => {
    await gateway.watch();
    await gateway.want(FORWARDS);
    await gateway.want(FORWARDS.slice(1));
    await gateway.want(FORWARDS);
    const seen: string[] = [];
    const announced = (count: number) => async () => {
      seen.push(...(await gateway.seen()));
      return seen.length >= count;
    };
    await lab.host('gw').exec(['iptables-nft', '-t', 'nat', '-N', 'other-noise']);
    await waitFor(announced(1), { what: 'the announcement of iptables' });
    await nft('add table ip other-table; delete table ip other-table');
    await waitFor(announced(2), { what: 'the announcement of nft' });
    expect(seen).toEqual(['iptables-nft', 'nft']);
  });

  it('refuses to read or write a table that iptables cannot show', async () => {
    await gateway.want(FORWARDS);
    await nft('add rule ip filter FORWARD ct state vmap { new : accept }');
    const before = await lab.snapshotRules('gw', { without: null });
    const attempts = [gateway.want([], { fresh: true }), gateway.want(FORWARDS.slice(1)).then(() => gateway.look())];
    for (const attempt of attempts) await expect(attempt).rejects.toMatchObject({ reason: 'FOREIGN_NATIVE_RULES' });
    expect((await lab.snapshotRules('gw', { without: null })).nft).toContain(before.nft.split('\n')[0]);
    await nft('flush chain ip filter FORWARD');
    await gateway.want(FORWARDS, { fresh: true });
    expect(await gateway.look()).toEqual([]);
  });

  it('comes back after everything was flushed', async () => {
    await gateway.want(FORWARDS);
    await nft('flush ruleset');
    expect((await gateway.look()).map((d) => d.cause)).toContain('missing');
    await gateway.want(FORWARDS, { fresh: true });
    expect(await gateway.look()).toEqual([]);
  });
});
