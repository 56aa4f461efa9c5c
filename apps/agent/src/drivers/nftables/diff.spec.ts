import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { PlacedForward } from '../../planner/types.js';
import { placed } from '../../testing/placed.js';
import { become, linesOf } from './changes.js';
import { diff, remaining } from './diff.js';
import { drift } from './drift.js';
import { layoutLines, SCRATCH, SETS } from './layout.js';
import { FakeNft } from './nft.fake.js';
import { type Observed, type ObservedTable, observeTable } from './observe.js';
import { type Rendered, render } from './render.js';
import type { NftablesPlan, TableStep } from './steps.js';
import { SSH, uid } from './testing.js';

/** Any state that the planner can produce: distinct listeners, everything else free. */
const anyForwards: fc.Arbitrary<PlacedForward[]> = fc
  .uniqueArray(
    fc.record({
      n: fc.integer({ min: 1, max: 8 }),
      protocol: fc.constantFrom('tcp' as const, 'udp' as const),
      wildcard: fc.boolean(),
      interface: fc.option(fc.constantFrom('eth0', 'lan'), { nil: undefined }),
      target: fc.constantFrom('10.0.0.10', '10.0.0.20'),
      allow: fc.subarray(['10.1.0.0/16', '10.2.0.0/16', '0.0.0.0/0']),
      snat: fc.constantFrom('masquerade', 'none', '10.0.0.1'),
      onChange: fc.constantFrom('drain' as const, 'cut' as const, 'keep' as const),
      hairpin: fc.subarray(['10.0.0.0/24']),
    }),
    { selector: (f) => f.n, maxLength: 6 },
  )
  .map((all) =>
    all.map(({ n, wildcard, interface: iface, ...rest }) =>
      placed({
        ...rest,
        uid: uid(n),
        port: 1000 + n,
        ...(wildcard ? { address: null } : {}),
        ...(iface === undefined ? {} : { interface: iface }),
      }),
    ),
  );

const of = (forwards: readonly PlacedForward[]) => render({ forwards, protected: [SSH] });

const at = (table: ObservedTable | undefined, ours = false): Observed => ({
  at: 1,
  ...(table ? { table } : {}),
  filters: { native: [] },
  forwarding: { on: true, ours },
});

/** The steps on our table, as the driver carries them out where no flow is alive. */
function tableSteps(plan: NftablesPlan): TableStep[] {
  return plan.steps.flatMap((step): TableStep[] => {
    if (step.kind === 'release')
      return step.ways.map(({ set, key }) => ({ ...step, kind: 'elements', set, removed: [key], added: new Map() }));
    return step.kind === 'elements' || step.kind === 'rebuild' || step.kind === 'closed' || step.kind === 'remove-table'
      ? [step]
      : [];
  });
}

function after(plan: NftablesPlan, table: ObservedTable | undefined): ObservedTable | undefined {
  return tableSteps(plan).reduce(become, table);
}

const text = (sets: ReadonlyMap<string, ReadonlyMap<string, string | { suffix: string }>>) =>
  [...sets].flatMap(([set, elements]) =>
    [...elements].map(([key, value]) => `${set} ${key}${typeof value === 'string' ? value : value.suffix}`),
  );
const same = (table: ObservedTable | undefined, rendered: Rendered) => {
  expect(text(table?.sets ?? new Map()).sort()).toEqual(text(rendered.sets).sort());
};

describe('diff', () => {
  it('leads from any state to any other, and then there is nothing to do and no drift', () => {
    fc.assert(
      fc.property(anyForwards, anyForwards, fc.boolean(), (a, b, ours) => {
        const first = after(diff(of(a), at(undefined, ours)), undefined);
        const second = after(diff(of(b), at(first, ours)), first);
        same(first, of(a));
        same(second, of(b));
        // Forwarding goes back with the last forward.
        const observed = at(second, ours && b.length > 0);
        expect(diff(of(b), observed).steps).toEqual([]);
        expect(remaining(of(b), observed, true)).toEqual([]);
        expect(drift(of(b), observed)).toEqual([]);
        expect(second === undefined).toBe(b.length === 0);
        expect(second?.closed ?? ours).toBe(ours);
      }),
    );
  });

  it('is in words that mean the same to nft', async () => {
    const scratch = new FakeNft();
    scratch.meddle(...layoutLines(SCRATCH, { trial: true, closed: true }));
    const reference = await scratch.reference();
    await fc.assert(
      fc.asyncProperty(fc.array(anyForwards, { maxLength: 4 }), async (states) => {
        const nft = new FakeNft();
        let table: ObservedTable | undefined;
        for (const forwards of [...states, []]) {
          const steps = tableSteps(diff(of(forwards), at(table)));
          await nft.write(steps.flatMap(linesOf));
          table = steps.reduce(become, table);
          const { listing } = await nft.read();
          const read = listing && observeTable(listing, reference);
          expect(read?.defects ?? []).toEqual([]);
          expect(text(read?.sets ?? new Map()).sort()).toEqual(text(table?.sets ?? new Map()).sort());
        }
        expect(nft.tables()).toEqual([]);
      }),
    );
  });

  it('finds any missing element, with the forward concerned', () => {
    fc.assert(
      fc.property(anyForwards, fc.nat(), (forwards, which) => {
        const rendered = of(forwards);
        const table = after(diff(rendered, at(undefined)), undefined);
        const all = SETS.flatMap(({ name }) =>
          [...(rendered.sets.get(name) ?? [])].map(([key, element]) => ({ name, key, element })),
        );
        const one = all[which % Math.max(1, all.length)];
        if (!table || !one) return;
        const removed = {
          kind: 'elements',
          title: '',
          forwards: [],
          set: one.name,
          removed: [one.key],
          added: new Map(),
        } as const;
        const found = drift(rendered, at(become(table, removed)));
        expect(found.map((f) => [f.drift.cause, f.drift.object])).toEqual([['missing', `gwctl/${one.name}`]]);
        expect([...(found[0]?.forwards ?? [])].sort()).toEqual(
          [...new Set(one.element.forwards.map((k) => rendered.forwards.get(k)?.uid))].sort(),
        );
      }),
    );
  });
});
