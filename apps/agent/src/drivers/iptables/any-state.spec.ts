import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { HostDesired } from '../../planner/types.js';
import { MemoryFlows } from '../../system/conntrack.fake.js';
import { IpForwarding } from '../../system/ip-forwarding.js';
import { MemorySysctl, MemorySysctlRecord } from '../../system/sysctl.fake.js';
import { relayed } from '../../testing/relayed.js';
import { IptablesDriver } from './driver.js';
import type { Rendered } from './render.js';
import { FakeTables } from './tables.fake.js';
import { anyForwards, desired, egressOf, uidOf } from './testing.js';

/** Tries until it works: a failure that was injected may hit a later state that touches its table. */
async function again<T>(attempt: () => Promise<T>, attempts = 9): Promise<T> {
  return attempt().catch((error) => {
    if (attempts === 0) throw error;
    return again(attempt, attempts - 1);
  });
}

const anyRelayed = fc.subarray([
  relayed({ uid: uidOf(60) }),
  relayed({ uid: uidOf(61), address: '2001:db8::1', allow: ['2001:db8:1::/48'] }),
  relayed({ uid: uidOf(62), address: null, port: 60_000, last: 60_010, transports: ['tcp', 'udp'] }),
]);

it('gets from any state to any other, whatever fails in between, and then has nothing left to do', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(anyForwards, fc.boolean(), anyRelayed, fc.option(fc.constantFrom('raw', 'mangle', 'filter', 'nat'))), {
        maxLength: 5,
      }),
      async (states) => {
        const tables = { 4: new FakeTables(), 6: new FakeTables({ family: 6 }) };
        const sysctl = new MemorySysctl();
        sysctl.values.set('net.ipv6.conf.all.forwarding', '0');
        const forwarding = (family: 4 | 6) =>
          new IpForwarding({ sysctl, record: new MemorySysctlRecord(), family, interfaces: async () => [] });
        const live = new IptablesDriver({
          tables,
          flows: new MemoryFlows(),
          forwarding: forwarding(4),
          forwarding6: forwarding(6),
          underWay: async () => undefined,
          now: () => 1,
        });
        let last: Rendered | undefined;
        const to = async (host: HostDesired) => {
          const rendered = live.render(host, last);
          last = rendered;
          await live.apply(live.diff(rendered, live.mirror() ?? (await live.observe())));
          return rendered;
        };
        for (const [forwards, leaving, relays, failing] of states) {
          if (failing) for (const family of [4, 6] as const) tables[family].failOnce(failing as 'nat', new Error('injected'));
          const host = { ...desired(forwards, leaving ? [egressOf(90)] : []), relayed: relays };
          const rendered = await again(() => to(host));
          // What the relay took over leaves behind what its last flows live on, until a look tells that there are none.
          if (relays.length > 0) {
            await live.observe();
            await again(() => to(host));
          }
          // What is remembered is what is there.
          expect(live.diff(rendered, live.mirror() ?? (await live.observe())).steps).toEqual([]);
          const observed = await live.observe();
          expect(live.diff(rendered, observed).steps).toEqual([]);
          expect(live.drift(rendered, observed)).toEqual([]);
        }
        await again(() => to(desired([])));
        for (const { rules } of Object.values(tables).map((t) => ({ rules: TABLES.flatMap((name) => t.rules(name)) })))
          expect(rules).toEqual([]);
      },
    ),
    { numRuns: 80 },
  );
});

const TABLES = ['raw', 'mangle', 'filter', 'nat'] as const;
