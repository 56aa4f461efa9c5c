/** Forwards of every kind, for the specs of this driver. */
import type { PortRange } from '@gwctl/shared/domain/ports';
import fc from 'fast-check';
import type { HostDesired, PlacedEgress, PlacedForward, PlacedTarget } from '../../planner/types.js';
import { cidr, ip, placed } from '../../testing/placed.js';

export const uidOf = (n: number): string => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;
export const range = (first: number, last = first): PortRange => ({ first, last }) as PortRange;
export const target = (address: string, port?: number, weight = 1): PlacedTarget => ({
  address: ip(address),
  ...(port === undefined ? {} : { port }),
  weight,
});
export const desired = (forwards: readonly PlacedForward[], egresses: readonly PlacedEgress[] = []): HostDesired => ({
  forwards,
  egresses,
  protected: [],
  announced: [],
  relayed: [],
});

export function egressOf(n: number, over: Partial<PlacedEgress> = {}): PlacedEgress {
  const { uid, key } = placed({ uid: uidOf(n) });
  const lan = cidr('10.0.0.0/24');
  return {
    uid,
    generation: 1,
    key,
    family: 4,
    sources: [lan],
    outInterface: 'wan',
    snat: { mode: 'masquerade' },
    except: [lan, cidr('224.0.0.0/4')],
    ...over,
  };
}

/** Any forward that the planner can place, at a port of its own. */
export const anyForward = (n: number): fc.Arbitrary<PlacedForward> =>
  fc
    .record({
      six: fc.boolean(),
      wildcard: fc.boolean(),
      protocol: fc.constantFrom('tcp' as const, 'udp' as const, 'tcp+udp' as const, 'all' as const),
      width: fc.constantFrom(0, 0, 3),
      shift: fc.constantFrom(0, 1000),
      targets: fc.integer({ min: 1, max: 4 }),
      affinity: fc.constantFrom('none' as const, 'client' as const),
      allow: fc.option(fc.subarray(['10.1.0.0/16', '10.2.0.0/16', '0.0.0.0/0']), { nil: undefined }),
      allow6: fc.subarray(['2001:db8:1::/48', '::/0']),
      snat: fc.constantFrom('masquerade', 'none', 'fixed'),
      onChange: fc.constantFrom('drain' as const, 'cut' as const, 'keep' as const),
      hairpin: fc.boolean(),
      ftp: fc.boolean(),
      clampMss: fc.boolean(),
    })
    .map((r): PlacedForward => {
      const all = r.protocol === 'all';
      const first = 1000 + 10 * n;
      const ports = range(first, first + r.width);
      const host = (i: number) => (r.six ? `fd00:10::${i + 10}` : `10.0.0.${i + 10}`);
      const targets = Array.from({ length: all ? 1 : r.targets }, (_, i) =>
        target(host(i), all ? undefined : first + r.shift, i + 1),
      );
      return {
        ...placed({ uid: uidOf(n), onChange: r.onChange }),
        family: r.six ? 6 : 4,
        listen: {
          ...(r.wildcard && !all ? {} : { address: ip(r.six ? `2001:db8:cafe::${n}` : `203.0.113.${n}`) }),
          protocol: r.protocol,
          ...(all ? {} : { ports }),
        },
        targets,
        affinity: r.affinity,
        ...(r.allow ? { allow: (r.six ? r.allow6 : r.allow).map(cidr) } : {}),
        snat:
          r.snat === 'fixed'
            ? { mode: 'address', address: ip(r.six ? 'fd00:10::1' : '10.0.0.1') }
            : { mode: r.snat as 'masquerade' | 'none' },
        ...(r.ftp && r.protocol !== 'udp' ? { ftp: all ? range(21) : range(first) } : {}),
        clampMss: r.clampMss && r.protocol !== 'udp',
        hairpin: r.hairpin
          ? targets.map((t) => ({ network: cidr(r.six ? 'fd00:10::/64' : '10.0.0.0/24'), target: t.address }))
          : [],
      };
    });

/** In order of uid, as the planner gives them. */
export const anyForwards: fc.Arbitrary<readonly PlacedForward[]> = fc
  .subarray([1, 2, 3, 4, 5, 6, 7, 8])
  .chain((numbers) => fc.tuple(...numbers.map(anyForward)));
