import { parseTrafficSpec } from '@gwctl/shared/domain/forward';
import { expect, it } from 'vitest';
import { SortedList } from '../planner/sorted-list.js';
import type { Judgement, Verdict } from '../planner/types.js';
import { relayed } from '../testing/relayed.js';
import { type Circumstances, Placements } from './placements.js';

const parsed = parseTrafficSpec({
  listen: { address: '203.0.113.10', interface: '', protocol: 'tcp', ports: { first: 8080, last: 8080 }, announce: false },
  targets: [{ host: '10.0.0.10', port: 80, weight: 1 }],
  allowSources: [],
  driver: 'relay',
  onChange: 'drain',
  enabled: true,
  takeover: false,
  affinity: 'none',
  helper: 'auto',
  clampMss: false,
});
if (!parsed.ok) throw new Error(JSON.stringify(parsed.error));
const spec = parsed.value;
const forward = relayed();

const verdict = (over: Partial<Verdict & { readonly kind: 'relay' }> = {}): Verdict => ({
  kind: 'relay',
  forward,
  reason: 'RELAY_CHOSEN',
  because: 'the forward asks for it (driver relay)',
  clientAddress: 'no: the target sees the gateway',
  targets: [],
  addresses: [],
  remarks: [],
  ...over,
});

function status(of: Verdict, is: Circumstances = {}) {
  const judgement: Judgement = { uid: forward.uid, generation: 1, name: 'f', spec, verdict: of };
  const placements = new Placements({ driver: 'nftables', clock: { now: () => 1_000 } });
  const { statuses } = placements.build(SortedList.from([judgement]), { of: () => is, concerned: 'all' });
  return statuses.get(forward.uid);
}

it('says that the relay carries a forward, and why, without calling it degraded', () => {
  expect(status(verdict())).toMatchObject({
    state: 'ACTIVE',
    driver: 'relay',
    clientAddress: 'no: the target sees the gateway',
    conditions: [
      { type: 'Carrier', status: 'true', reason: 'RELAY_CHOSEN', message: expect.stringContaining('driver relay') },
      { type: 'Applied', status: 'true' },
    ],
  });
});

it('says so beside what degrades it', () => {
  const remark = { type: 'TargetsHealthy', status: 'false', reason: 'TARGET_UNHEALTHY', message: 'down' } as const;
  expect(status(verdict({ reason: 'RELAY_NEEDED', remarks: [remark] }))).toMatchObject({
    state: 'DEGRADED',
    conditions: [remark, { type: 'Carrier', reason: 'RELAY_NEEDED' }, { type: 'Applied' }],
  });
});

it.each([
  ['older', 'DEGRADED'],
  ['nothing', 'REJECTED'],
] as const)('tells a forward that the relay could not take, with %s in its place, as %s', (instead, state) => {
  const condition = { type: 'Applied', status: 'false', reason: 'PORT_IN_USE', message: 'in use' } as const;
  expect(status(verdict(), { findings: [{ ...condition, instead }] })).toMatchObject({
    state,
    conditions: [{ reason: 'PORT_IN_USE' }],
  });
});
