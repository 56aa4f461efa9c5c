import { toBinary } from '@bufbuild/protobuf';
import { PlacementReportSchema } from '@gwctl/proto/gwctl/agent/v1/agent_pb';
import { describe, expect, it } from 'vitest';
import type { PlacementStatus } from '../reconciler/placement-status.js';
import { ip } from '../testing/placed.js';
import { placementReport, reportWeight } from './mapper.js';

const LONG = 'ü€😀'.repeat(300);
const MOST = Number.MAX_SAFE_INTEGER;
const LATE = 253_402_300_799_000;
const FULL: PlacementStatus = {
  uid: '00000000-0000-4000-8000-000000000001',
  generation: MOST,
  name: 'x'.repeat(63),
  state: 'DEGRADED',
  driver: 'iptables-legacy',
  listen: {
    address: ip('2001:db8:1111:2222:3333:4444:5555:6666'),
    interface: 'interface-of-15',
    protocol: 'tcp+udp',
    announce: true,
  },
  targets: Array.from({ length: 64 }, () => ({
    host: `${'h'.repeat(60)}.example.net`,
    address: '2001:db8:1111:2222:3333:4444:5555:6666',
    port: 65_535,
    health: { state: 'unhealthy', rttUs: 2 ** 32 - 1, trouble: LONG },
  })),
  counters: { packets: MOST, bytes: MOST, flows: MOST, refused: MOST },
  drift: { cause: 'altered', object: LONG, message: LONG, detected: LATE, repaired: LATE, process: LONG },
  conditions: [{ type: 'Applied', status: 'false', reason: 'APPLY_FAILED', message: LONG, since: LATE }],
  violations: [{ field: LONG, description: LONG }],
  clientAddress: LONG,
};

describe('a report', () => {
  it('is never taken for less than it weighs', () => {
    const { counters: _, drift: __, listen: ___, ...bare } = FULL;
    for (const status of [FULL, bare, { ...bare, targets: [], conditions: [], violations: [], clientAddress: '' }])
      expect(reportWeight(status)).toBeGreaterThanOrEqual(toBinary(PlacementReportSchema, placementReport(status, MOST)).length);
  });

  it('says the same of those that share their conditions, with the revision of each', () => {
    const conditions = [{ type: 'Applied', status: 'true', reason: 'APPLIED', message: 'in place', since: 1000 }] as const;
    const reports = [1, 1, 2].map((revision) => placementReport({ ...FULL, conditions }, revision));
    expect(reports.map((r) => r.conditions.map((c) => [c.type, c.message, c.revision]))).toEqual(
      [1n, 1n, 2n].map((revision) => [['Applied', 'in place', revision]]),
    );
  });
});
