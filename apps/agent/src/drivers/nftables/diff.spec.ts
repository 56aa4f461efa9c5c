import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { PlacedForward } from '../../planner/types.js';
import { cidr, ip, placed } from '../../testing/placed.js';
import { render } from './render.js';
import { elementsBySet, MemoryHost, placedAs, SSH, six, target, uid } from './testing.js';

const POLICIES = ['drain', 'cut', 'keep'] as const;

/** Any state that the planner can produce: distinct listeners, everything else free. */
const anyForwards: fc.Arbitrary<PlacedForward[]> = fc
  .uniqueArray(
    fc.record({
      n: fc.integer({ min: 1, max: 6 }),
      protocol: fc.constantFrom('tcp' as const, 'udp' as const, 'tcp+udp' as const, 'all' as const),
      family: fc.constantFrom(4, 6),
      wildcard: fc.boolean(),
      interface: fc.option(fc.constantFrom('eth0', 'lan'), { nil: undefined }),
      width: fc.constantFrom(0, 0, 3),
      targets: fc.subarray(['10.0.0.10:*', '10.0.0.20:*', '10.0.0.31:8000*3'], { minLength: 1 }),
      affinity: fc.constantFrom('none' as const, 'client' as const),
      allow: fc.option(fc.subarray(['10.1.0.0/16', '10.2.0.0/16', '0.0.0.0/0']), { nil: undefined }),
      snat: fc.constantFrom('masquerade', 'none', '10.0.0.1'),
      onChange: fc.constantFrom(...POLICIES),
      hairpin: fc.boolean(),
      clampMss: fc.boolean(),
      ftp: fc.boolean(),
    }),
    { selector: (f) => f.n, maxLength: 5 },
  )
  .map((all) => all.sort((a, b) => a.n - b.n).map(forwardOf));

function forwardOf(a: {
  n: number;
  protocol: 'tcp' | 'udp' | 'tcp+udp' | 'all';
  family: number;
  wildcard: boolean;
  interface: string | undefined;
  width: number;
  targets: string[];
  affinity: 'none' | 'client';
  allow: string[] | undefined;
  snat: string;
  onChange: (typeof POLICIES)[number];
  hairpin: boolean;
  clampMss: boolean;
  ftp: boolean;
}): PlacedForward {
  const first = 1000 + a.n * 10;
  const whole = a.protocol === 'all';
  const targets = (whole ? a.targets.slice(0, 1) : a.targets).map((t) =>
    target(whole ? (t.split(':')[0] ?? '') : t.replace(':*', `:${first}`)),
  );
  const forward = placedAs(
    { uid: uid(a.n), snat: a.snat, onChange: a.onChange, ...(a.allow ? { allow: a.allow } : {}) },
    {
      listen: {
        ...(a.wildcard && !whole ? {} : { address: ip(`203.0.113.${a.n}`) }),
        ...(a.interface === undefined ? {} : { interface: a.interface }),
        protocol: a.protocol,
        ...(whole ? {} : { ports: { first, last: first + a.width } }),
      },
      targets,
      affinity: a.affinity,
      clampMss: a.clampMss,
      ...(a.ftp && a.protocol !== 'udp' ? { ftp: whole ? { first: 21, last: 21 } : { first, last: first } } : {}),
      hairpin: a.hairpin ? targets.map((t) => ({ network: cidr('10.0.0.0/24'), target: t.address })) : [],
    },
  );
  return a.family === 6 ? six(forward) : forward;
}

/** What the kernel has, and what these forwards need: elements by set, chains of pools without the emptied ones. */
function held({ nft }: MemoryHost, forwards: readonly PlacedForward[]) {
  const wanted = elementsBySet(render({ forwards, egresses: [], protected: [SSH], announced: [], relayed: [] }));
  const names = new Set([...Object.keys(wanted), ...ALL_SETS]);
  const found: Record<string, string[]> = {};
  for (const name of names) {
    const [family, set] = name.startsWith('ip6 ') ? ([6, name.slice(4)] as const) : ([4, name] as const);
    const pools = Object.entries(nft.pools(family)).flatMap(([chain, rules]) =>
      rules.length > 0 ? [`${chain}: ${rules.join('\n')}`] : [],
    );
    const elements = set === 'pool-chains' ? pools : nft.elements(set, family);
    if (elements.length > 0) found[name] = elements.sort();
  }
  return { found, wanted: Object.fromEntries(Object.entries(wanted).map(([name, e]) => [name, e.sort()])) };
}
const ALL_SETS = ['', 'ip6 '].flatMap((f) =>
  [
    'to-at',
    'to-any',
    'to-vip',
    'pool-at',
    'own-at',
    'own-any',
    'own-vip',
    'own-at-range',
    'answers',
    'hairpin',
    'pool-chains',
  ].map((s) => f + s),
);

describe('diff', () => {
  it('leads from any state to any other, and then there is nothing to do and no drift, for a fresh process too', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(anyForwards, { minLength: 1, maxLength: 4 }), async (states) => {
        const host = new MemoryHost();
        for (const forwards of states) {
          // A pool's chain may go a second after it was emptied.
          host.now += 600;
          const { rendered } = await host.reconcile(forwards);
          const { found, wanted } = held(host, forwards);
          expect(found).toEqual(wanted);
          expect((await host.reconcile(forwards)).plan.steps).toEqual([]);
          const fresh = host.freshDriver();
          const observed = await fresh.observe();
          expect(fresh.drift(rendered, observed)).toEqual([]);
          expect(fresh.diff(rendered, observed).steps).toEqual([]);
          expect(fresh.drift(rendered, fresh.mirror() ?? observed)).toEqual([]);
        }
        await host.reconcile([]);
        expect(host.nft.tables()).toEqual([]);
      }),
      { numRuns: 60 },
    );
  });

  it('finds any missing element, with the forward concerned', async () => {
    await fc.assert(
      fc.asyncProperty(anyForwards, fc.nat(), async (forwards, which) => {
        const host = new MemoryHost();
        const { rendered } = await host.reconcile(forwards);
        const all = rendered.forwardParts.flatMap((part) =>
          part.elements.filter((e) => e.set.name !== 'pool-chains').map((e) => ({ part, e })),
        );
        const one = all[which % Math.max(1, all.length)];
        if (!one) return;
        const { set, key } = one.e;
        const table = set.family === 4 ? 'ip' : 'ip6';
        host.nft.meddle(`delete element ${table} gwctl ${set.name} { ${key} }`);
        const found = host.driver.drift(rendered, await host.driver.observe());
        const object = `${set.family === 4 ? '' : 'ip6 '}gwctl/${set.name}`;
        expect(found.map((f) => [f.drift.cause, f.drift.object, f.forwards])).toEqual([['missing', object, [one.part.uid]]]);
        await host.reconcile(forwards);
        expect(host.driver.drift(rendered, await host.driver.observe())).toEqual([]);
      }),
      { numRuns: 40 },
    );
  });

  it('touches what one forward of thousands is, and nothing else', async () => {
    const host = new MemoryHost();
    const many = Array.from({ length: 3000 }, (_, n) => placed({ uid: uid(n), port: 1 + n, hairpin: ['10.0.0.0/24'] }));
    const first = (await host.reconcile(many)).rendered;
    const more = [...many.slice(0, 1500), placed({ uid: `${uid(1499)}x`, port: 60000 }), ...many.slice(1500)];
    const { plan, rendered } = await host.reconcile(more);
    const written = plan.steps.flatMap((s) => (s.kind === 'elements' ? [s.added.size + s.removed.length] : []));
    expect(written).toEqual([1, 1, 1, 1]);
    expect(rendered.forwardParts.filter((p) => first.forwardParts.get(p.uid) !== p)).toHaveLength(1);
    // The mirror is the rendering, not a copy of it.
    expect(host.driver.mirror()?.base).toBe(rendered);
    expect(host.driver.mirror()?.tables[4]?.patch.size).toBe(0);
    const gone = await host.reconcile(many);
    expect(gone.plan.steps.flatMap((s) => (s.kind === 'elements' ? [s.removed.length] : []))).toEqual([1, 1, 1]);
  });
});
