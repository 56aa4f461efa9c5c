import { expect, it } from 'vitest';
import { MemoryFlows } from '../../system/conntrack.fake.js';
import { IpForwarding } from '../../system/ip-forwarding.js';
import { MemorySysctl, MemorySysctlRecord } from '../../system/sysctl.fake.js';
import { placed } from '../../testing/placed.js';
import { IptablesDriver } from './driver.js';
import { FakeTables } from './tables.fake.js';
import { desired } from './testing.js';

const KEY = placed().key;
const PART = KEY[0];
const LISTENER = '-d 203.0.113.10/32 -p tcp -m tcp --dport 443';
const said = (...words: readonly string[]) => `-m comment --comment "gwctl:${words.join(':')}"`;

/** One forward as the layout before this one had it: in sixteen parts by key, masqueraded by a rule of its own. */
const BEFORE = {
  mangle: [
    ':GWCTL-ACL - [0:0]',
    `:GWCTL-ACL-${PART} - [0:0]`,
    `-A GWCTL-ACL ${said('part', `${PART}`)} -j GWCTL-ACL-${PART}`,
    `-A GWCTL-ACL-${PART} ${LISTENER} -m conntrack --ctstate INVALID ${said(KEY, 'invalid')} -j DROP`,
    `-I PREROUTING 1 -m conntrack --ctstate INVALID,NEW ${said('hook')} -j GWCTL-ACL`,
    `-I OUTPUT 1 -m conntrack --ctstate INVALID,NEW ${said('hook')} -j GWCTL-ACL`,
  ],
  filter: [
    ':GWCTL-FWD - [0:0]',
    `-A GWCTL-FWD -m connmark --mark 0x1000000/0x1000000 ${said('fwd', 'accept')} -j ACCEPT`,
    `-I FORWARD 1 ${said('hook')} -j GWCTL-FWD`,
  ],
  nat: [
    ':GWCTL-DISP - [0:0]',
    `:GWCTL-DISP-${PART} - [0:0]`,
    ':GWCTL-POST - [0:0]',
    `:GWCTL-POST-${PART} - [0:0]`,
    `:GWCTL-F-${KEY} - [0:0]`,
    `-A GWCTL-DISP ${said('part', `${PART}`)} -j GWCTL-DISP-${PART}`,
    `-A GWCTL-DISP-${PART} ${LISTENER} ${said(KEY, 'dispatch')} -j GWCTL-F-${KEY}`,
    `-A GWCTL-F-${KEY} ${said(KEY, 'mark', 'drain')} -j CONNMARK --set-xmark 0x1000000/0x1000000`,
    `-A GWCTL-F-${KEY} -p tcp ${said(KEY, 'dnat')} -j DNAT --to-destination 10.0.0.10:8443`,
    `-A GWCTL-POST ${said('part', `${PART}`)} -j GWCTL-POST-${PART}`,
    `-A GWCTL-POST-${PART} -d 10.0.0.10/32 -p tcp -m tcp --dport 8443 -m conntrack --ctstate DNAT --ctorigdst 203.0.113.10 --ctorigdstport 443 -m connmark --mark 0x1000000/0x1000000 ${said(KEY, 'snat')} -j MASQUERADE --random-fully`,
    `-I PREROUTING 1 ${said('hook')} -j GWCTL-DISP`,
    `-I OUTPUT 1 ! -d 127.0.0.0/8 ${said('hook')} -j GWCTL-DISP`,
    `-I POSTROUTING 1 ${said('hook')} -j GWCTL-POST`,
  ],
} as const;

it('takes over from the layout before it: the new way is there before the old one goes, and no flow is touched', async () => {
  const tables = new FakeTables();
  for (const table of ['mangle', 'filter', 'nat'] as const) tables.meddle(table, BEFORE[table]);
  const flows = new MemoryFlows();
  const forwarding = new IpForwarding({ sysctl: new MemorySysctl(), record: new MemorySysctlRecord() });
  const underWay = async () => undefined;
  const driver = new IptablesDriver({ tables: { 4: tables }, flows, forwarding, underWay, now: () => 1 });
  const rendered = driver.render(desired([placed()]));
  await driver.apply(driver.diff(rendered, await driver.observe()));
  expect(driver.drift(rendered, await driver.observe())).toEqual([]);
  expect(driver.diff(rendered, await driver.observe()).steps).toEqual([]);
  expect(flows.asked).toEqual([]);
  // Whatever a transaction takes away, the ones before it have put the new in place.
  const lines = tables.committed.flatMap((b) => b.lines);
  expect(lines.findIndex((l) => l.startsWith('-A GWCTL-DNAT '))).toBeLessThan(lines.indexOf(`-X GWCTL-DISP-${PART}`));
  expect(lines.findIndex((l) => l.startsWith('-A GWCTL-INV '))).toBeLessThan(lines.indexOf(`-X GWCTL-ACL-${PART}`));
  const left = ['mangle', 'filter', 'nat'].flatMap((t) => tables.rules(t as 'nat')).join('\n');
  expect(left).not.toMatch(/GWCTL-(DISP|ACL|POST)-/);
});
