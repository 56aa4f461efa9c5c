import { DEFAULT_SETTINGS } from '@gwctl/shared/domain/gateway-settings';
import type { Violation } from '@gwctl/shared/domain/result';
import { createLogger } from '@gwctl/shared/logging/logger';
import { afterEach, describe, expect, it } from 'vitest';
import type { Found } from '../control-link/outbox.js';
import { readEntry } from '../desired/entry-codec.js';
import type { DesiredView, Entry } from '../desired/types.js';
import { Planner, type PolicyCheck } from '../planner/planner.js';
import type { HostFacts, LocalSocket, ReadEntry } from '../planner/types.js';
import { Conditions } from '../status/conditions.js';
import { FakeClock, settle } from '../testing/fake-clock.js';
import { FakeDriver } from '../testing/fake-driver.js';
import { EPOCH, entry, uidOf } from '../testing/forwards.js';
import { ip } from '../testing/placed.js';
import { keyOf, NO_LIMITS } from '../testing/plan-forwards.js';
import type { AgentEvent } from './placement-status.js';
import { Reconciler } from './reconciler.js';

const NO_NAMES = new Map();

function makeWorld(options: { watched?: boolean; driver?: FakeDriver } = {}) {
  const clock = new FakeClock();
  const driver = options.driver ?? new FakeDriver({ watched: options.watched ?? true });
  const sockets: LocalSocket[] = [];
  const facts: HostFacts = {
    addresses: [{ address: ip('192.0.2.1'), prefix: 24, interface: 'eth0' }],
    interfaces: ['eth0'],
    sockets,
    protected: [],
  };
  const conditions = new Conditions({ clock });
  const events: AgentEvent[] = [];
  const reports: Found[] = [];
  const forbidden = new Map<string, Violation[]>();
  const listeners: (() => void)[] = [];
  let view: DesiredView = { complete: false, epoch: '', revision: 0, entries: [], settings: DEFAULT_SETTINGS };
  const policy: PolicyCheck = { ...NO_LIMITS, forward: ({ uid }) => forbidden.get(uid) ?? [] };
  const reconciler = new Reconciler({
    driver,
    planner: {
      facts: async () => ({ ...facts, sockets: [...sockets] }),
      make: (carried) => new Planner({ capabilities: { kernel: driver.capabilities }, keyOf, carried }),
      policy: () => policy,
    },
    lookups: {
      names: () => NO_NAMES,
      health: { version: 0, of: () => undefined },
      want: () => undefined,
      onChange: () => undefined,
    },
    desired: { view: () => view, onChange: (listener) => listeners.push(listener) },
    sink: { report: (found) => reports.push(found), event: (event) => events.push(event), conditions },
    runtime: { clock, random: () => 0.5, log: createLogger({ name: 'spec', level: 'silent' }) },
  });
  /** As the store does: what did not change is not read anew. */
  const known = new Map<string, ReadEntry>();
  const read = (e: Entry): ReadEntry => {
    const id = `${e.uid} ${Buffer.from(e.bytes).toString('hex')}`;
    const entry = known.get(id) ?? readEntry(e);
    known.set(id, entry);
    return entry;
  };
  /** The control plane wants these from now on. */
  const want = async (entries: Entry[], revision = view.revision + 1) => {
    view = { complete: true, epoch: EPOCH, revision, entries: entries.map(read), settings: view.settings };
    for (const listener of listeners) listener();
    await settle();
  };
  const status = (n: number) => reports.at(-1)?.statuses.get(uidOf(n));
  const failing = () =>
    conditions
      .list()
      .filter((c) => c.status === 'false')
      .map((c) => c.reason);
  return { clock, driver, sockets, conditions, events, reports, forbidden, reconciler, want, status, failing };
}

let running: Reconciler | undefined;
afterEach(() => running?.stop());

async function begun(options: Parameters<typeof makeWorld>[0] = {}) {
  const world = makeWorld(options);
  running = world.reconciler;
  world.reconciler.start();
  await settle();
  return world;
}

const key = (n: number) => uidOf(n).slice(-8);

describe('reconciler', () => {
  it('touches nothing before a whole desired state is known, and then adopts what is there', async () => {
    const driver = new FakeDriver();
    driver.kernel.set(key(1), { uid: uidOf(1), text: '1 1001 198.51.100.1' });
    driver.kernel.set(key(9), { uid: uidOf(9), text: 'of an earlier life' });
    const { want, clock, reports } = await begun({ driver });
    await clock.advance(600_000);
    driver.tamper(() => undefined);
    await clock.advance(1_000);
    expect(driver.observed).toBe(0);
    expect(driver.kernel.size).toBe(2);
    await want([entry(1), entry(2)]);
    expect([...driver.kernel.keys()].sort()).toEqual([key(1), key(2)]);
    expect(driver.applied[0]?.steps.map((s) => s.title)).toEqual([`put ${key(2)}`, `remove ${key(9)}`]);
    expect(reports.at(-1)?.applied).toEqual({ epoch: EPOCH, revision: 1 });
  });

  it('carries a change out from the mirror, and says at once that it is applied', async () => {
    const { driver, want, reports, status } = await begun();
    await want([entry(1)]);
    const observed = driver.observed;
    await want([entry(1), entry(2)]);
    expect(driver.observed).toBe(observed);
    expect(reports.at(-1)?.applied?.revision).toBe(2);
    expect(status(2)).toMatchObject({
      state: 'ACTIVE',
      driver: 'iptables-nft',
      conditions: [{ type: 'Applied', status: 'true' }],
    });
    await want([entry(2)]);
    expect([...driver.kernel.keys()]).toEqual([key(2)]);
    expect(reports.at(-1)?.statuses.has(uidOf(1))).toBe(false);
  });

  it('keeps the same status object where nothing changed, and writes nothing the second time', async () => {
    const { driver, want, reconciler, reports } = await begun();
    await want([entry(1), entry(2)]);
    const before = reports.at(-1)?.statuses.get(uidOf(1));
    await want([entry(1), entry(2, { generation: 2 })]);
    expect(reports.at(-1)?.statuses.get(uidOf(1))).toBe(before);
    const writes = driver.applied.length;
    reconciler.request('full');
    await settle();
    expect(driver.applied.length).toBe(writes);
  });

  it('gives every kind of verdict its state', async () => {
    const { want, status, forbidden, clock, driver } = await begun();
    forbidden.set(uidOf(5), [{ field: 'spec.listen.ports', description: 'the policy of this gateway does not allow port 1005' }]);
    await want([
      entry(1),
      entry(2, { enabled: false }),
      entry(3, { expires: clock.now() - 1 }),
      entry(4, { port: 70_000 }),
      entry(5),
      { uid: uidOf(6), kind: 'forward', bytes: Uint8Array.of(0xff) },
    ]);
    expect(status(1)?.state).toBe('ACTIVE');
    expect(status(2)).toMatchObject({ state: 'DISABLED', conditions: [] });
    expect(status(3)).toMatchObject({ state: 'EXPIRED' });
    expect(status(4)).toMatchObject({ state: 'REJECTED', violations: [{ field: 'spec.listen.ports' }] });
    expect(status(5)).toMatchObject({ state: 'REJECTED', conditions: [{ reason: 'POLICY' }] });
    expect(status(6)).toMatchObject({ state: 'REJECTED', generation: 0, violations: [{ field: 'forward' }] });
    expect(driver.kernel.size).toBe(1);
  });

  it('takes a forward away when it expires', async () => {
    const { want, status, clock, driver } = await begun();
    await want([entry(1, { expires: clock.now() + 90_000 })]);
    await clock.advance(89_000);
    expect(status(1)?.state).toBe('ACTIVE');
    await clock.advance(2_000);
    expect(status(1)?.state).toBe('EXPIRED');
    expect(driver.kernel.size).toBe(0);
  });

  it('stops without touching what is there', async () => {
    const { want, driver, reconciler, clock } = await begun();
    await want([entry(1)]);
    await reconciler.stop();
    driver.kernel.clear();
    await want([entry(1), entry(2)]);
    await clock.advance(600_000);
    expect(driver.kernel.size).toBe(0);
    expect(driver.watching).toBe(false);
  });
});

describe('a port that a local program uses', () => {
  const socket = (port: number): LocalSocket => ({ protocol: 'tcp', port, owner: 'python3 (pid 7)' });

  it('is refused, and served within 5 s after the program let go', async () => {
    const { want, status, sockets, clock, driver } = await begun();
    sockets.push(socket(1001));
    await want([entry(1), entry(2)]);
    expect(status(1)).toMatchObject({ state: 'REJECTED', conditions: [{ type: 'Accepted', reason: 'PORT_IN_USE' }] });
    expect(status(1)?.violations[0]?.description).toContain('python3 (pid 7)');
    expect(status(2)?.state).toBe('ACTIVE');
    await clock.advance(60_000);
    sockets.length = 0;
    await clock.advance(5_000);
    expect(status(1)?.state).toBe('ACTIVE');
    expect(driver.kernel.size).toBe(2);
  });

  it('stays with the forward that had it before, which is degraded meanwhile', async () => {
    const { want, status, sockets, clock, driver } = await begun();
    await want([entry(1), entry(2)]);
    sockets.push(socket(1001));
    await clock.advance(20_000);
    expect(status(1)).toMatchObject({ state: 'DEGRADED' });
    expect(status(1)?.conditions).toContainEqual(expect.objectContaining({ type: 'ListenerFree', reason: 'PORT_IN_USE' }));
    expect(status(2)?.state).toBe('ACTIVE');
    expect(driver.kernel.has(key(1))).toBe(true);
    await want([entry(1, { generation: 2, port: 1009 }), entry(2)]);
    expect(status(1)?.state).toBe('ACTIVE');
    await want([entry(1, { generation: 3, port: 1001 }), entry(2)]);
    expect(status(1)?.state).toBe('REJECTED');
  });
});

describe('drift', () => {
  it('is repaired as soon as the kernel announces it, with an event that names forward, cause and process', async () => {
    const { want, driver, events, clock, status } = await begun();
    await want([entry(1), entry(2)]);
    await clock.advance(3_000);
    driver.tamper((kernel) => kernel.delete(key(1)), 'iptables-nft');
    await clock.advance(100);
    expect(driver.kernel.has(key(1))).toBe(true);
    expect(events).toMatchObject([
      { uid: uidOf(1), reason: 'DRIFT_DETECTED', drift: { cause: 'missing', process: 'iptables-nft' } },
      { uid: uidOf(1), reason: 'DRIFT_REPAIRED', drift: { cause: 'missing', repaired: expect.any(Number) } },
    ]);
    expect(events[0]?.message).toContain('forward f1');
    expect(status(1)).toMatchObject({ state: 'ACTIVE', drift: { cause: 'missing', repaired: expect.any(Number) } });
    expect(status(2)?.drift).toBeUndefined();
  });

  it('is found by the timer where the kernel announces nothing', async () => {
    const { want, driver, events, clock } = await begun({ watched: false });
    await want([entry(1)]);
    await clock.advance(15_000);
    driver.tamper((kernel) => kernel.set(key(1), { uid: uidOf(1), text: 'elsewhere' }));
    await clock.advance(10_000);
    expect(driver.kernel.get(key(1))?.text).not.toBe('elsewhere');
    expect(events.map((e) => [e.reason, e.drift?.cause])).toEqual([
      ['DRIFT_DETECTED', 'altered'],
      ['DRIFT_REPAIRED', 'altered'],
    ]);
  });

  it('of many announcements at once is one read-back', async () => {
    const { want, driver, clock } = await begun();
    await want([entry(1)]);
    await clock.advance(3_000);
    const observed = driver.observed;
    for (let i = 0; i < 100; i++) driver.tamper(() => undefined);
    await clock.advance(100);
    expect(driver.observed).toBe(observed + 1);
  });

  it('that somebody keeps causing is contested: repairs rest, and begin again', async () => {
    const { want, driver, clock, failing, status, conditions, events } = await begun();
    await want([entry(1), entry(2)]);
    await clock.advance(3_000);
    let fights = 0;
    while (!failing().includes('CONTESTED') && fights < 500) {
      fights++;
      driver.tamper((kernel) => kernel.delete(key(1)), 'zealot');
      await clock.advance(100);
    }
    expect(fights).toBe(121);
    expect(conditions.list().find((c) => c.type === 'Uncontested')?.message).toContain('zealot');
    expect(status(1)).toMatchObject({ state: 'DEGRADED', conditions: [{ type: 'DriftFree', reason: 'CONTESTED' }] });
    expect(status(2)?.state).toBe('ACTIVE');
    const heard = events.length;
    await clock.advance(50_000);
    expect(driver.kernel.has(key(1))).toBe(false);
    expect(events.length).toBe(heard);
    await clock.advance(15_000);
    expect(driver.kernel.has(key(1))).toBe(true);
    expect(failing()).toEqual([]);
    expect(status(1)?.state).toBe('ACTIVE');
  });

  it('from before this process began is no drift', async () => {
    const driver = new FakeDriver();
    driver.kernel.set(key(1), { uid: uidOf(1), text: 'old' });
    const { want, events } = await begun({ driver });
    await want([entry(1)]);
    expect(events).toEqual([]);
  });
});

describe('a failure', () => {
  it('leaves what works, says so, and is tried again with growing waits', async () => {
    const { want, driver, clock, failing, status, reports } = await begun();
    await want([entry(1)]);
    driver.broken = new Error('iptables-restore: line 3 failed');
    await want([entry(1), entry(2)]);
    expect(failing()).toEqual(['APPLY_FAILED']);
    expect(status(1)?.state).toBe('ACTIVE');
    expect(status(2)).toMatchObject({
      state: 'DEGRADED',
      conditions: [{ type: 'Applied', status: 'false', reason: 'APPLY_FAILED' }],
    });
    expect(status(2)?.conditions[0]?.message).toContain('line 3 failed');
    expect(reports.at(-1)?.applied?.revision).toBe(1);
    const seen = driver.observed;
    await clock.advance(60_000);
    expect(driver.observed - seen).toBeLessThan(60);
    driver.broken = undefined;
    await clock.advance(60_000);
    expect(failing()).toEqual([]);
    expect(status(2)?.state).toBe('ACTIVE');
    expect(reports.at(-1)?.applied?.revision).toBe(2);
  });

  it('to read back changes nothing on the host', async () => {
    const { want, driver, failing, clock, status } = await begun();
    driver.kernel.set(key(9), { uid: uidOf(9), text: 'of an earlier life' });
    driver.blind = new Error('Table `filter` is incompatible');
    await want([entry(1)]);
    await clock.advance(5_000);
    expect(driver.applied).toEqual([]);
    expect(driver.kernel.size).toBe(1);
    expect(failing()).toEqual(['APPLY_FAILED']);
    expect(status(1)?.state).toBe('DEGRADED');
  });

  it('of one forward among a hundred is found, and the others are served', async () => {
    const { want, driver, clock, status, failing, reports } = await begun();
    const all = Array.from({ length: 100 }, (_, i) => entry(i + 1));
    driver.poison.add(uidOf(37));
    await want(all);
    await clock.advance(2_000);
    expect(driver.kernel.size).toBe(99);
    expect(status(37)).toMatchObject({
      state: 'REJECTED',
      violations: [{ field: 'spec', description: `the kernel refuses ${key(37)}` }],
    });
    expect([...(reports.at(-1)?.statuses ?? [])].filter((s) => s.state === 'ACTIVE')).toHaveLength(99);
    expect(reports.at(-1)?.applied?.revision).toBe(1);
    expect(failing()).toEqual([]);
    driver.poison.clear();
    await clock.advance(120_000);
    expect(status(37)?.state).toBe('ACTIVE');
  });

  it('of a changed forward keeps what it was before', async () => {
    const { want, driver, clock, status } = await begun();
    await want([entry(1), entry(2)]);
    driver.poison.add(uidOf(1));
    await want([entry(1, { generation: 2, port: 1100 }), entry(2)]);
    await clock.advance(2_000);
    expect(driver.kernel.get(key(1))?.text).toBe('1 1001 198.51.100.1');
    expect(status(1)).toMatchObject({ state: 'DEGRADED', generation: 2 });
    driver.poison.clear();
    await want([entry(1, { generation: 3, port: 1101 }), entry(2)]);
    expect(status(1)?.state).toBe('ACTIVE');
    expect(driver.kernel.get(key(1))?.text).toBe('3 1101 198.51.100.1');
  });
});
