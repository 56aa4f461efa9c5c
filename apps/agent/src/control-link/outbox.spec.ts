import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { type SessionRequest, SessionRequestSchema } from '@gwctl/proto/gwctl/agent/v1/agent_pb';
import { describe, expect, it } from 'vitest';
import type { Held } from '../desired/types.js';
import { SortedList } from '../planner/sorted-list.js';
import type { PlacementStatus } from '../reconciler/placement-status.js';
import { Conditions } from '../status/conditions.js';
import { FakeClock } from '../testing/fake-clock.js';
import { EPOCH, uidOf } from '../testing/forwards.js';
import { MAX_MESSAGE_BYTES } from './channel.js';
import { Outbox } from './outbox.js';

const status = (n: number, more: Partial<PlacementStatus> = {}): PlacementStatus => ({
  uid: uidOf(n),
  generation: 1,
  name: `f${n}`,
  state: 'ACTIVE',
  targets: [],
  conditions: [],
  violations: [],
  clientAddress: '',
  ...more,
});

function made() {
  const clock = new FakeClock();
  const conditions = new Conditions({ clock });
  let held: Held | undefined;
  const outbox = new Outbox({ clock, random: () => 0.5, conditions, persisted: () => held });
  /** Everything that is to be said now, as it would arrive. */
  const drain = (): SessionRequest['message'][] => {
    const messages: SessionRequest['message'][] = [];
    for (let next = outbox.next(); next; next = outbox.next()) {
      const bytes = toBinary(SessionRequestSchema, create(SessionRequestSchema, next));
      expect(bytes.length).toBeLessThan(MAX_MESSAGE_BYTES);
      messages.push(fromBinary(SessionRequestSchema, bytes).message);
    }
    return messages;
  };
  const report = (revision: number, ...statuses: PlacementStatus[]) =>
    outbox.report({ statuses: SortedList.from(statuses), applied: { epoch: EPOCH, revision } });
  const begin = () => outbox.begin(EPOCH, { accepted: -1, applied: -1 });
  const hold = (revision: number) => {
    held = { epoch: EPOCH, revision, digest: new Uint8Array(32) };
    outbox.poke();
  };
  return { clock, conditions, outbox, drain, report, begin, hold };
}

const kinds = (messages: SessionRequest['message'][]) => messages.map((m) => m.case);

describe('outbox', () => {
  it('says nothing without a session, and everything when one begins', () => {
    const { report, hold, drain, begin } = made();
    hold(3);
    report(3, status(1), status(2));
    expect(drain()).toEqual([]);
    begin();
    const messages = drain();
    expect(kinds(messages)).toEqual(['accepted', 'status', 'applied', 'status']);
    expect(messages[1]?.value).toMatchObject({ complete: true, placements: { length: 2 } });
    expect(messages[2]?.value).toMatchObject({ revision: 3n, epoch: EPOCH });
    expect(messages[3]?.value).toMatchObject({ hasConditions: true });
    expect(drain()).toEqual([]);
  });

  it('says differences only, and with the revision that they came with', () => {
    const { report, drain, begin } = made();
    const [one, two] = [status(1), status(2)];
    begin();
    report(1, one, two);
    drain();
    report(2, one, status(2, { state: 'REJECTED' }), status(3));
    const [applied, ...more] = drain();
    expect(more).toEqual([]);
    expect(applied).toMatchObject({ case: 'applied', value: { revision: 2n } });
    expect(applied?.case === 'applied' && applied.value.placements.map((p) => p.forwardUid)).toEqual([uidOf(2), uidOf(3)]);
    report(2, one);
    expect(drain()).toEqual([]);
  });

  it('lets what is no verdict wait for company', async () => {
    const { report, drain, begin, clock } = made();
    const one = status(1);
    begin();
    report(1, one);
    drain();
    const drift = { cause: 'missing', object: 'o', message: 'm', detected: 1, repaired: 2 } as const;
    report(1, { ...one, drift });
    expect(drain()).toEqual([]);
    await clock.advance(2_000);
    expect(drain()).toMatchObject([{ case: 'status', value: { placements: [{ drift: { object: 'o' } }] } }]);
  });

  it('tells a change of conditions at once', () => {
    const { conditions, drain, begin } = made();
    begin();
    drain();
    conditions.raise('Applied', 'APPLY_FAILED', 'm');
    expect(drain()).toMatchObject([{ case: 'status', value: { hasConditions: true, conditions: [{ reason: 'APPLY_FAILED' }] } }]);
  });

  it('splits what does not fit into one message, and says "applied" last', () => {
    const { report, drain, begin } = made();
    const long = 'x'.repeat(1_000);
    begin();
    report(7, ...Array.from({ length: 5_000 }, (_, n) => status(n, { violations: [{ field: 'spec', description: long }] })));
    const messages = drain();
    const placements = messages.flatMap((m) => (m.case === 'status' || m.case === 'applied' ? m.value.placements : []));
    expect(new Set(placements.map((p) => p.forwardUid)).size).toBe(5_000);
    expect(messages.length).toBeGreaterThan(9);
    expect(messages.filter((m) => m.case === 'status' && m.value.complete)).toHaveLength(1);
    expect(kinds(messages).at(-2)).toBe('applied');
  });

  it('does not speak of another epoch', () => {
    const { outbox, report, hold, drain } = made();
    hold(3);
    report(3, status(1));
    outbox.begin('restored', { accepted: -1, applied: -1 });
    expect(kinds(drain())).toEqual(['status', 'status']);
  });

  it('keeps so many events, says how many were lost, and does not flood', async () => {
    const { outbox, drain, begin, clock } = made();
    for (let n = 0; n < 1_200; n++) outbox.event({ time: n, reason: 'DRIFT_DETECTED', message: String(n) });
    begin();
    const first = drain().filter((m) => m.case === 'event');
    expect(first).toHaveLength(50);
    expect(first[0]?.value).toMatchObject({ reason: 'EVENTS_DROPPED', message: expect.stringContaining('200') });
    expect(first[1]?.value).toMatchObject({ message: '200' });
    await clock.advance(1_000);
    expect(drain()).toHaveLength(20);
  });
});
