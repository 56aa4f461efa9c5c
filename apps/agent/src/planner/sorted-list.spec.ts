import { describe, expect, it } from 'vitest';
import { type Changes, changesOf, derived, type Item, SortedList } from './sorted-list.js';

interface Thing extends Item {
  readonly value: number;
}

/** Park and Miller's: the same numbers in each run. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 48_271) % 2_147_483_647;
    return state % below;
  };
}

const uidOf = (n: number) => String(n).padStart(6, '0');
const thing = (n: number, value = 0): Thing => ({ uid: uidOf(n), value });
const many = (count: number) => Array.from({ length: count }, (_, i) => thing(i * 10));

/** What {@link changesOf} is to say, found by looking at everything. */
function plainChanges(before: readonly Thing[], now: readonly Thing[]): Changes<Thing> {
  const [was, is] = [new Set(before), new Set(now)];
  return { gone: before.filter((t) => !is.has(t)), come: now.filter((t) => !was.has(t)) };
}

function edit(plain: readonly Thing[], { gone, come }: { gone: readonly Item[]; come: readonly Thing[] }): Thing[] {
  const byUid = new Map(plain.map((t) => [t.uid, t]));
  for (const { uid } of gone) byUid.delete(uid);
  for (const item of come) byUid.set(item.uid, item);
  return [...byUid.values()].sort((a, b) => (a.uid < b.uid ? -1 : 1));
}

/** Some that are there, some that are not, some the same again. */
function someEdits(plain: readonly Thing[], random: (below: number) => number): { gone: Item[]; come: Thing[] } {
  const size = random(10) === 0 ? 400 : 1 + random(4);
  const any = () => (plain.length > 0 && random(2) === 0 ? (plain[random(plain.length)] as Thing) : thing(random(20_000)));
  const take = (count: number) => Array.from({ length: count }, any);
  const growing = random(2) === 0;
  const gone = take(growing ? random(2) : size);
  const come = take(growing ? size : random(2)).map((t) => (random(4) === 0 ? t : { ...t, value: random(1000) }));
  return { gone, come };
}

const lookUp = (list: SortedList<Thing>, plain: readonly Thing[], random: (below: number) => number) => {
  const byUid = new Map(plain.map((t) => [t.uid, t]));
  const asked = [...plain.map((t) => t.uid), ...Array.from({ length: 20 }, () => uidOf(random(20_000))), uidOf(999_999), ''];
  return asked.every((uid) => list.get(uid) === byUid.get(uid));
};

describe('a list in order of uid', () => {
  it('says the same as an array after any changes', () => {
    for (let seed = 1; seed <= 20; seed++) {
      const random = randomFrom(seed);
      let plain: Thing[] = seed % 3 === 0 ? [] : many(random(2000));
      let list = SortedList.from(plain);
      for (let n = 0; n < 40; n++) {
        const edits = someEdits(plain, random);
        const [plainBefore, before] = [plain, list];
        plain = edit(plain, edits);
        list = list.with(edits);
        expect([...list]).toEqual(plain);
        expect(list.length).toBe(plain.length);
        expect(lookUp(list, plain, random)).toBe(true);
        const expected = plainChanges(plainBefore, plain);
        expect(changesOf(before, list)).toEqual(expected);
        // Between a list and an array, too, and between lists that share nothing.
        expect(changesOf(plainBefore, list)).toEqual(expected);
        expect(changesOf(before, plain)).toEqual(expected);
        expect(changesOf(before, SortedList.from(plain))).toEqual(expected);
      }
    }
  });

  it('reads as an array does', () => {
    for (const plain of [[], many(1), many(1000)]) {
      const list: SortedList<Thing> = SortedList.from(plain);
      expect(list.map((t) => t.uid)).toEqual(plain.map((t) => t.uid));
      expect(list.filter((t) => t.uid.endsWith('00'))).toEqual(plain.filter((t) => t.uid.endsWith('00')));
      expect(list.flatMap((t) => [t, t.uid])).toEqual(plain.flatMap((t) => [t, t.uid]));
      expect(list.find((t) => t.uid === uidOf(9990))).toBe(plain.find((t) => t.uid === uidOf(9990)));
      expect(SortedList.from(list)).toBe(list);
    }
  });

  it('shares all pieces but one with a list that differs in one item', () => {
    const before = SortedList.from(many(40_000));
    for (const change of [
      { gone: [], come: [thing(200_005)] },
      { gone: [thing(200_000)], come: [] },
      { gone: [], come: [thing(0, 1)] },
    ]) {
      const there = new Set<unknown>(SortedList.pieces(before));
      const pieces = SortedList.pieces(before.with(change));
      expect(pieces.filter((p) => !there.has(p))).toHaveLength(1);
      expect(Math.max(...pieces.map((p) => p.length))).toBeLessThanOrEqual(256);
    }
  });

  it('stays the same object where nothing differs', () => {
    const plain = many(1000);
    const list = SortedList.from(plain);
    expect(list.with({ gone: [], come: [] })).toBe(list);
    expect(list.with({ gone: [{ uid: 'nobody' }], come: plain.slice(10, 20) })).toBe(list);
    const [middle] = plain.slice(500);
    if (!middle) throw new Error('there is no middle');
    expect(list.with({ gone: [middle], come: [middle] })).toBe(list);
  });

  it('keeps pieces neither tiny nor huge while it grows and shrinks one by one', () => {
    const random = randomFrom(7);
    let list = SortedList.empty<Thing>();
    for (let n = 0; n < 5000; n++) list = list.with({ gone: [], come: [thing(random(1_000_000))] });
    const { length } = list;
    expect(SortedList.pieces(list).length).toBeLessThanOrEqual(length / 64);
    const all = [...list];
    for (const [i, item] of all.entries()) if (i % 10 !== 0) list = list.with({ gone: [item], come: [] });
    expect(list.length).toBe(Math.ceil(length / 10));
    expect(SortedList.pieces(list).length).toBeLessThanOrEqual(list.length / 16);
  });

  it('makes another of itself anew only where something differs', () => {
    let list = SortedList.from(many(2000));
    const make = ({ uid, value }: Thing) => ({ uid, twice: value * 2 });
    let twice = SortedList.from(list.map(make));
    const random = randomFrom(3);
    for (let n = 0; n < 50; n++) {
      const now = list.with(someEdits([...list], random));
      let made = 0;
      const changes = changesOf(list, now);
      const next = derived(twice, changes, (t) => {
        made++;
        return make(t);
      });
      expect([...next]).toEqual(now.map(make));
      expect(made).toBe(changes.come.length);
      [list, twice] = [now, next];
    }
  });
});
