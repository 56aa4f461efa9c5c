import { mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EMPTY_DIGEST } from '@gwctl/shared/domain/digest';
import { createLogger } from '@gwctl/shared/logging/logger';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Conditions } from '../status/conditions.js';
import { FakeClock } from '../testing/fake-clock.js';
import { entry, Origin, snapshotOf, uidOf } from '../testing/forwards.js';
import { DesiredStore } from './desired-store.js';
import { type DesiredFiles, DiskFiles } from './files.js';
import type { Entry, Held } from './types.js';

const GATEWAY = '00000000-0000-4000-8000-00000000000a';
const log = createLogger({ name: 'spec', level: 'silent' });

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'gwctl-desired-'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

function makeStore(files: DesiredFiles = new DiskFiles(dir), gatewayUid = GATEWAY) {
  const clock = new FakeClock();
  const conditions = new Conditions({ clock });
  const store = new DesiredStore({ files, gatewayUid, clock, conditions, log });
  const reasons = () =>
    conditions
      .list()
      .filter((c) => c.status === 'false')
      .map((c) => c.reason);
  return { store, clock, conditions, reasons };
}

async function loaded() {
  const made = makeStore();
  await made.store.load();
  return made;
}

const uids = (store: DesiredStore) =>
  store
    .view()
    .entries.map((e) => e.uid)
    .sort();

describe('desired store', () => {
  it('knows nothing whole on a new gateway', async () => {
    const { store, reasons } = await loaded();
    expect(store.view().complete).toBe(false);
    expect(store.held()).toBeUndefined();
    expect(reasons()).toEqual([]);
  });

  it('takes a snapshot and changes, and a later life finds them with their time', async () => {
    const origin = new Origin();
    const first = await loaded();
    origin.change([entry(1), entry(2)]);
    expect(await first.store.acceptSnapshot(origin.snapshot())).toMatchObject({ kind: 'accepted', held: { revision: 2 } });
    await first.clock.advance(5_000);
    await first.store.acceptChanges([origin.change([entry(3)]), origin.change([], [uidOf(1)])]);
    const time = first.store.time;
    await first.store.close();

    const second = await loaded();
    expect(uids(second.store)).toEqual([uidOf(2), uidOf(3)]);
    expect(second.store.held()).toMatchObject({ epoch: 'epoch-1', revision: 4 });
    expect(second.store.source).toBe('disk');
    expect(second.store.time).toBe(time);
    for (const name of await readdir(dir)) expect((await stat(join(dir, name))).mode & 0o777).toBe(0o600);
  });

  it('does not show a change before it is on the disk', async () => {
    const origin = new Origin();
    let release: () => void = () => {};
    const files = new DiskFiles(dir);
    const append = files.append.bind(files);
    files.append = async (changes) => {
      await new Promise<void>((resolve) => {
        release = resolve;
      });
      await append(changes);
    };
    const { store } = makeStore(files);
    await store.load();
    await store.acceptSnapshot(origin.snapshot());
    const accepting = store.acceptChanges([origin.change([entry(1)])]);
    await new Promise((resolve) => setImmediate(resolve));
    expect(store.view().entries).toHaveLength(0);
    release();
    await accepting;
    expect(store.view().entries).toHaveLength(1);
  });

  it('refuses a gap, a wrong digest and a snapshot that is older within the epoch, and keeps what it has', async () => {
    const origin = new Origin();
    const { store, reasons } = await loaded();
    origin.change([entry(1)]);
    await store.acceptSnapshot(origin.snapshot());
    const old = store.held();
    const skipped = origin.change([entry(2)]);
    const next = origin.change([entry(3)]);
    expect(await store.acceptChanges([next])).toMatchObject({ kind: 'refused', refusal: { reason: 'REVISION_GAP' } });
    expect(await store.acceptChanges([{ ...skipped, digest: next.digest }])).toMatchObject({
      refusal: { reason: 'DIGEST_MISMATCH' },
    });
    expect(await store.acceptSnapshot({ ...origin.snapshot(), digest: EMPTY_DIGEST })).toMatchObject({
      refusal: { reason: 'DIGEST_MISMATCH' },
    });
    expect(await store.acceptSnapshot(snapshotOf(1, []))).toMatchObject({ refusal: { reason: 'REVISION_WENT_BACK' } });
    expect(store.held()).toEqual(old);
    expect(reasons()).toEqual(['REVISION_WENT_BACK']);
    expect(await store.acceptSnapshot(snapshotOf(1, [], { epoch: 'restored' }))).toMatchObject({ kind: 'accepted' });
    expect(reasons()).toEqual([]);
  });

  it('keeps a forward that cannot be read apart from the others', async () => {
    const { store } = await loaded();
    const bad: Entry = { uid: uidOf(2), kind: 'forward', bytes: Uint8Array.of(0xff, 0xff, 0xff) };
    const foreign: Entry = { uid: uidOf(3), kind: 'forward', bytes: entry(9).bytes };
    const port = entry(4, { port: 70_000 });
    await store.acceptSnapshot(snapshotOf(1, [entry(1), bad, foreign, port]));
    const byUid = new Map(store.view().entries.map((e) => [e.uid, e]));
    expect(byUid.get(uidOf(1))).toMatchObject({ kind: 'forward' });
    expect(byUid.get(uidOf(2))).toMatchObject({ kind: 'invalid', violations: [{ field: 'forward' }] });
    expect(byUid.get(uidOf(3))).toMatchObject({ kind: 'invalid', violations: [{ field: 'uid' }] });
    expect(byUid.get(uidOf(4))).toMatchObject({ kind: 'invalid', generation: 1, violations: [{ field: 'spec.listen.ports' }] });
  });

  it('does not use what was on the disk for another gateway', async () => {
    const { store } = await loaded();
    await store.acceptSnapshot(snapshotOf(3, [entry(1)]));
    await store.close();
    const other = makeStore(new DiskFiles(dir), '00000000-0000-4000-8000-00000000000b');
    await other.store.load();
    expect(other.store.view().complete).toBe(false);
  });
});

describe('mass removal', () => {
  const many = (count: number) => Array.from({ length: count }, (_, i) => entry(i + 1));

  it.each([
    { had: 100, left: 70, held: false },
    { had: 100, left: 69, held: true },
    { had: 12, left: 2, held: false },
    { had: 12, left: 0, held: true },
    { had: 10, left: 0, held: false },
  ])('of a snapshot that leaves $left of $had: held is $held', async ({ had, left, held }) => {
    const { store, reasons } = await loaded();
    await store.acceptSnapshot(snapshotOf(1, many(had)));
    const outcome = await store.acceptSnapshot(snapshotOf(2, many(left)));
    expect(outcome.kind).toBe(held ? 'pending' : 'accepted');
    expect(reasons()).toEqual(held ? ['PENDING_MASS_DELETE'] : []);
    expect(store.view().entries).toHaveLength(held ? had : left);
  });

  it('counts an entry that became unreadable, and not one that was disabled', async () => {
    const { store } = await loaded();
    await store.acceptSnapshot(snapshotOf(1, many(20)));
    const garbage = many(20).map((e) => ({ uid: e.uid, kind: 'forward' as const, bytes: Uint8Array.of(0xff) }));
    expect((await store.acceptSnapshot(snapshotOf(2, garbage))).kind).toBe('pending');
    const disabled = many(20).map((_, i) => entry(i + 1, { enabled: false }));
    expect((await store.acceptSnapshot(snapshotOf(3, disabled))).kind).toBe('accepted');
  });

  it('takes it when an operator asked for exactly this', async () => {
    const { store, reasons } = await loaded();
    await store.acceptSnapshot(snapshotOf(1, many(20)));
    await store.acceptSnapshot(snapshotOf(2, []));
    expect((await store.acceptSnapshot(snapshotOf(2, [], { allowMassRemoval: true }))).kind).toBe('accepted');
    expect(reasons()).toEqual([]);
  });

  it('follows the changes after a held snapshot, and takes it once it removes little', async () => {
    const origin = new Origin();
    const { store } = await loaded();
    await store.acceptSnapshot(snapshotOf(1, many(20)));
    origin.revision = 2;
    expect((await store.acceptSnapshot(origin.snapshot())).kind).toBe('pending');
    expect((await store.acceptChanges([origin.change(many(5))])).kind).toBe('pending');
    expect(store.view().entries).toHaveLength(20);
    expect(await store.acceptChanges([origin.change(many(15))])).toMatchObject({ kind: 'accepted', held: { revision: 4 } });
    expect(store.view().entries).toHaveLength(15);
  });
});

describe('a disk that fails', () => {
  class FullDisk extends DiskFiles {
    full = false;
    override async append(...args: Parameters<DiskFiles['append']>) {
      if (this.full) throw Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' });
      await super.append(...args);
    }
    override async replace(...args: Parameters<DiskFiles['replace']>) {
      if (this.full) throw Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' });
      await super.replace(...args);
    }
  }

  it('is reported, stops nothing, and is made good by itself', async () => {
    const origin = new Origin();
    const files = new FullDisk(dir);
    const { store, clock, reasons } = makeStore(files);
    await store.load();
    await store.acceptSnapshot(origin.snapshot());
    files.full = true;
    expect((await store.acceptChanges([origin.change([entry(1)])])).kind).toBe('accepted');
    expect((await store.acceptChanges([origin.change([entry(2)])])).kind).toBe('accepted');
    expect(store.view().entries).toHaveLength(2);
    expect(store.persisted()).toMatchObject({ revision: 1 });
    expect(reasons()).toEqual(['CACHE_NOT_PERSISTED']);
    await clock.advance(25_000);
    expect(reasons()).toEqual(['CACHE_NOT_PERSISTED']);
    files.full = false;
    let told = 0;
    store.onChange(() => told++);
    await clock.advance(10_000);
    await store.close();
    expect(told).toBe(1);
    expect(store.persisted()).toMatchObject({ revision: 3 });
    expect(reasons()).toEqual([]);
    expect(uids((await loaded()).store)).toEqual([uidOf(1), uidOf(2)]);
  });
});

describe('damage', () => {
  async function prepared() {
    const origin = new Origin();
    const { store } = await loaded();
    origin.change([entry(1), entry(2)]);
    await store.acceptSnapshot(origin.snapshot());
    await store.acceptChanges([origin.change([entry(3)])]);
    await store.acceptChanges([origin.change([entry(4)])]);
    await store.close();
  }

  const damages: { what: string; file: string; do: (path: string) => Promise<void> }[] = [
    { what: 'a snapshot cut short', file: 'desired.snapshot', do: (p) => truncate(p, 100) },
    { what: 'an empty snapshot', file: 'desired.snapshot', do: (p) => truncate(p, 0) },
    { what: 'a flipped bit of the snapshot', file: 'desired.snapshot', do: (p) => flip(p, 300) },
    { what: 'a flipped bit of its header', file: 'desired.snapshot', do: (p) => flip(p, 60) },
    { what: 'a flipped bit inside the journal', file: 'desired.journal', do: (p) => flip(p, 250) },
    { what: 'a missing snapshot', file: 'desired.snapshot', do: (p) => rm(p) },
    {
      what: 'a newer version',
      file: 'desired.snapshot',
      do: async (p) => writeFile(p, (await readFile(p, 'latin1')).replace('"version":1', '"version":2'), 'latin1'),
    },
  ];

  async function flip(path: string, at: number) {
    const bytes = await readFile(path);
    bytes[at]! ^= 0x10;
    await writeFile(path, bytes);
  }

  it.each(damages)('of $what: nothing is known, and a snapshot makes it good', async (damage) => {
    await prepared();
    await damage.do(join(dir, damage.file));
    const { store, reasons } = await loaded();
    expect(store.view().complete).toBe(false);
    expect(store.held()).toBeUndefined();
    expect(reasons()).toEqual(['STATE_CORRUPT']);
    await store.acceptSnapshot(snapshotOf(9, [entry(1)]));
    await store.close();
    expect(reasons()).toEqual([]);
    expect((await loaded()).store.held()).toMatchObject({ revision: 9 });
  });

  it('is not seen in a journal that belongs to an older snapshot', async () => {
    await prepared();
    const journal = await readFile(join(dir, 'desired.journal'));
    const { store } = await loaded();
    await store.acceptSnapshot(snapshotOf(9, [entry(7)]));
    await store.close();
    await writeFile(join(dir, 'desired.journal'), journal);
    const after = await loaded();
    expect(after.store.held()).toMatchObject({ revision: 9 });
    const origin = new Origin();
    origin.revision = 9;
    origin.entries.set(uidOf(7), entry(7));
    await after.store.acceptChanges([origin.change([entry(8)])]);
    await after.store.close();
    expect(uids((await loaded()).store)).toEqual([uidOf(7), uidOf(8)]);
  });
});

describe('a crash at any byte', () => {
  const step = fc.record({
    upserts: fc.uniqueArray(fc.nat(6), { maxLength: 3 }),
    removals: fc.uniqueArray(fc.nat(6), { maxLength: 2 }),
  });

  it('of the journal leaves the last complete state, and writing goes on from there', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 1, maxLength: 8 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        async (steps, cut) => {
          await rm(dir, { recursive: true, force: true });
          const origin = new Origin();
          const { store } = await loaded();
          await store.acceptSnapshot(origin.snapshot());
          const path = join(dir, 'desired.journal');
          const states: { length: number; held: Held; entries: Entry[] }[] = [
            { length: (await stat(path)).size, held: store.held()!, entries: [] },
          ];
          for (const [i, s] of steps.entries()) {
            const removals = s.removals.map(uidOf);
            const change = origin.change(
              s.upserts.map((n) => entry(n, { generation: i + 1 })),
              removals,
            );
            await store.acceptChanges([change]);
            states.push({ length: (await stat(path)).size, held: store.held()!, entries: [...origin.entries.values()] });
          }
          await store.close();
          const from = states[0]!.length;
          const length = from + Math.round(cut * (states.at(-1)!.length - from));
          await truncate(path, length);

          const expected = states.filter((s) => s.length <= length).at(-1)!;
          const after = await loaded();
          expect(after.reasons()).toEqual([]);
          expect(after.store.held()).toEqual(expected.held);
          expect(uids(after.store)).toEqual(expected.entries.map((e) => e.uid).sort());

          // What was lost was never acknowledged, so the control plane sends it again, right behind the torn record.
          const again = new Origin();
          again.revision = expected.held.revision;
          for (const e of expected.entries) again.entries.set(e.uid, e);
          await after.store.acceptChanges([again.change([entry(1, { generation: 99 })])]);
          await after.store.close();
          expect((await loaded()).store.held()).toEqual(after.store.held());
        },
      ),
      { numRuns: 40 },
    );
  });
});
