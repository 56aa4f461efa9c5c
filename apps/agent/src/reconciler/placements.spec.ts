import { describe, expect, it } from 'vitest';
import { SortedList } from '../planner/sorted-list.js';
import type { Judgement } from '../planner/types.js';
import { relayed } from '../testing/relayed.js';
import { type Circumstances, Placements } from './placements.js';

const forward = relayed({ uid: 'u1' });
const judgement: Judgement = {
  uid: 'u1',
  generation: 1,
  name: 'one',
  verdict: {
    kind: 'relay',
    forward,
    reason: 'RELAY_CHOSEN',
    because: 'it asks for it',
    clientAddress: 'no',
    targets: [{ host: '10.0.0.10', address: '10.0.0.10', port: 80 }],
    addresses: [],
    remarks: [],
  },
};

const judgements = SortedList.from([judgement]);

function build(is: Circumstances, placements = new Placements({ driver: 'relay', clock: { now: () => 1 } })) {
  const built = placements.build(judgements, { of: () => is, concerned: new Set(['u1']) });
  return { placements, changed: [...built.changed], status: built.statuses.get('u1') };
}

describe('a forward that could not be made as wanted', () => {
  const finding = { type: 'Applied', status: 'false', reason: 'PORT_IN_USE', message: 'port 80 is taken' } as const;

  it('is rejected with the reason where nothing is there instead', () => {
    expect(build({ findings: [{ ...finding, instead: 'nothing' }] }).status).toMatchObject({
      state: 'REJECTED',
      conditions: [{ ...finding, since: 1 }],
      violations: [{ field: 'spec.listen', description: 'port 80 is taken' }],
    });
  });

  it('is degraded where it goes on as it was before', () => {
    const { status } = build({ findings: [{ ...finding, instead: 'older' }] });
    expect(status).toMatchObject({ state: 'DEGRADED', conditions: [{ reason: 'PORT_IN_USE' }] });
    expect(status?.conditions[0]?.message).toContain('what it was before is still in place');
  });
});

describe('the health of targets', () => {
  const felt = (state: 'healthy' | 'unhealthy', rttUs: number): Circumstances => ({
    targets: new Map([['10.0.0.10 80', { state, rttUs }]]),
  });

  it('is what connections showed, where nobody else knows', () => {
    expect(build(felt('healthy', 5)).status?.targets).toEqual([
      { host: '10.0.0.10', address: '10.0.0.10', port: 80, health: { state: 'healthy', rttUs: 5 } },
    ]);
  });

  it('is news when it turns, and not when a connection merely took longer', () => {
    const first = build(felt('healthy', 5));
    expect(build(felt('healthy', 9), first.placements).changed).toEqual([]);
    const second = build(felt('unhealthy', 9), first.placements);
    expect(second.changed).toEqual(['u1']);
    expect(second.status?.targets[0]?.health?.state).toBe('unhealthy');
  });
});
