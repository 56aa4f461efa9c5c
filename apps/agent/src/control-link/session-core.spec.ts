import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Held } from '../desired/types.js';
import { EPOCH, entry, Origin, snapshotOf } from '../testing/forwards.js';
import { begun, type Effect, type Inbound, type SessionState, step } from './session-core.js';

const welcome: Inbound = { kind: 'welcome', sessionId: 's', epoch: EPOCH, gateway: 'gw1', controlVersion: '0' };
const held = (revision: number): Held => ({ epoch: EPOCH, revision, digest: new Uint8Array(32) });

/** Feeds messages to a session and collects what it does. */
function play(messages: readonly Inbound[], hello?: Held): { state: SessionState; effects: Effect[] } {
  let state = begun;
  const effects: Effect[] = [];
  for (const message of messages) {
    const next = step(state, message, hello);
    state = next.state;
    if (next.effect) effects.push(next.effect);
  }
  return { state, effects };
}

const origin = () => {
  const o = new Origin();
  o.change([entry(1), entry(2), entry(3)]);
  return o;
};

function snapshotMessages(o: Origin): Inbound[] {
  const { revision, digest, entries } = o.snapshot();
  return [
    { kind: 'snapshot-begin', revision, forwards: entries.length, digest, allowMassRemoval: false },
    { kind: 'snapshot-codec', entries: entries.slice(0, 2) },
    { kind: 'snapshot-codec', entries: entries.slice(2) },
    { kind: 'snapshot-end', revision },
  ];
}

describe('session', () => {
  it('takes a snapshot only once it is whole', () => {
    const o = origin();
    const messages = [welcome, ...snapshotMessages(o)];
    for (let n = 0; n < messages.length; n++)
      expect(play(messages.slice(0, n)).effects.map((e) => e.kind)).not.toContain('snapshot');
    const { effects, state } = play(messages);
    expect(effects.at(-1)).toEqual({ kind: 'snapshot', snapshot: o.snapshot() });
    expect(state).toMatchObject({ phase: 'live', revision: 2 });
  });

  it('resumes, and takes changes that follow each other', () => {
    const o = origin();
    const changes = [o.change([entry(4)]), o.change([], [entry(1).uid])];
    const { effects, state } = play(
      [welcome, { kind: 'resume', revision: 2 }, ...changes.map((change): Inbound => ({ kind: 'change', change }))],
      held(2),
    );
    expect(effects.map((e) => e.kind)).toEqual(['welcomed', 'resumed', 'change', 'change']);
    expect(state).toMatchObject({ phase: 'live', revision: 4 });
  });

  const o = origin();
  const [begin, part, , last] = snapshotMessages(o) as [Inbound, Inbound, Inbound, Inbound];
  const change: Inbound = { kind: 'change', change: o.change([entry(9)]) };
  const resume: Inbound = { kind: 'resume', revision: 2 };

  it.each<{ what: string; messages: Inbound[]; reason: string; ask: string; hello?: Held }>([
    { what: 'a change before the welcome', messages: [change], reason: 'PROTOCOL_VIOLATION', ask: 'resume' },
    { what: 'a change before a resume', messages: [welcome, change], reason: 'PROTOCOL_VIOLATION', ask: 'resume' },
    { what: 'a second welcome', messages: [welcome, welcome], reason: 'PROTOCOL_VIOLATION', ask: 'resume' },
    { what: 'a resume without anything held', messages: [welcome, resume], reason: 'RESUME_MISMATCH', ask: 'snapshot' },
    { what: 'a resume elsewhere', messages: [welcome, resume], hello: held(7), reason: 'RESUME_MISMATCH', ask: 'snapshot' },
    {
      what: 'a resume in another epoch',
      messages: [welcome, resume],
      hello: { ...held(2), epoch: 'old' },
      reason: 'RESUME_MISMATCH',
      ask: 'snapshot',
    },
    { what: 'a change inside a snapshot', messages: [welcome, begin, change], reason: 'PROTOCOL_VIOLATION', ask: 'resume' },
    { what: 'a snapshot that ends early', messages: [welcome, begin, part, last], reason: 'PROTOCOL_VIOLATION', ask: 'resume' },
    { what: 'a snapshot with too much', messages: [welcome, begin, part, part], reason: 'PROTOCOL_VIOLATION', ask: 'resume' },
    {
      what: 'a snapshot of 50,001 forwards',
      messages: [welcome, { ...begin, kind: 'snapshot-begin', forwards: 50_001 } as Inbound],
      reason: 'TOO_MANY_FORWARDS',
      ask: 'resume',
    },
    {
      what: 'a repeated change',
      messages: [welcome, resume, change, change],
      hello: held(2),
      reason: 'REVISION_GAP',
      ask: 'resume',
    },
  ])('ends after $what', ({ messages, hello, reason, ask }) => {
    const { effects, state } = play(messages, hello);
    expect(effects.at(-1)).toMatchObject({ kind: 'end', reason, ask });
    expect(state.phase).toBe('ended');
    expect(step(state, welcome, hello).effect).toBeUndefined();
  });

  it('begins a snapshot over when the control plane does', () => {
    const { effects } = play([welcome, begin, part, ...snapshotMessages(origin())]);
    expect(effects.at(-1)).toMatchObject({ kind: 'snapshot', snapshot: { entries: { length: 3 } } });
  });

  it('ignores what it does not know, in every phase', () => {
    const messages: Inbound[] = [{ kind: 'unknown' }, welcome, { kind: 'unknown' }, begin, { kind: 'unknown' }];
    expect(play(messages).effects.map((e) => e.kind)).toEqual(['ignored', 'welcomed', 'ignored', 'ignored']);
  });

  it('whatever is dropped, repeated or reordered: what is taken follows what is held without a gap', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(19), { maxLength: 40 }), (order) => {
        const source = new Origin();
        const changes = Array.from({ length: 20 }, (_, i) => source.change([entry(i)]));
        const { effects } = play(
          [welcome, { kind: 'resume', revision: 1 }, ...order.map((i): Inbound => ({ kind: 'change', change: changes[i]! }))],
          held(1),
        );
        const taken = effects.flatMap((e) => (e.kind === 'change' ? [e.change.revision] : []));
        expect(taken).toEqual(taken.map((_, i) => i + 2));
      }),
    );
  });

  it('of a snapshot, revision and digest are taken as they came', () => {
    const s = snapshotOf(5, [entry(1)], { allowMassRemoval: true });
    const { effects } = play([
      welcome,
      { kind: 'snapshot-begin', revision: 5, forwards: 1, digest: s.digest, allowMassRemoval: true },
      { kind: 'snapshot-codec', entries: s.entries },
      { kind: 'snapshot-end', revision: 5 },
    ]);
    expect(effects.at(-1)).toEqual({ kind: 'snapshot', snapshot: s });
  });
});
