import type { Counters } from '@gwctl/shared/domain/status';
import { expect, it } from 'vitest';
import { addCounters } from './counters.js';

it('adds up what the rules of each forward and egress count', () => {
  const counters = new Map<string, Counters>();
  addCounters(
    [
      '[9:900] -A FORWARD -m comment --comment "gwctl:hook" -j GWCTL-FWD',
      '[5:500] -A GWCTL-CNT -m conntrack --ctproto 6 -m comment --comment "gwctl:9f1c2ab0:count" -j ACCEPT',
      '[1:100] -A GWCTL-CNT -m conntrack --ctproto 17 -m comment --comment "gwctl:9f1c2ab0:count" -j ACCEPT',
      '[2:120] -A GWCTL-DNAT -p tcp -m comment --comment "gwctl:9f1c2ab0:mark:drain" -j CONNMARK --set-xmark 0x1000000/0x1000000',
      '[2:120] -A GWCTL-DNAT -p tcp -m comment --comment "gwctl:9f1c2ab0:dnat" -j DNAT --to-destination 10.0.0.10:8443',
      '[3:180] -A GWCTL-A-9f1c2ab0 -m comment --comment "gwctl:9f1c2ab0:deny" -j DROP',
      '[4:240] -A GWCTL-E-00000001 -s 10.0.0.0/24 -m comment --comment "gwctl:00000001:out" -j MASQUERADE --random-fully',
      '[8:480] -A other -m comment --comment "gwctl:9f1c2ab0:count" -j ACCEPT',
    ].join('\n'),
    counters,
  );
  expect([...counters]).toEqual([
    ['9f1c2ab0', { packets: 6, bytes: 600, flows: 2, refused: 3 }],
    ['00000001', { packets: 0, bytes: 0, flows: 4, refused: 0 }],
  ]);
});
