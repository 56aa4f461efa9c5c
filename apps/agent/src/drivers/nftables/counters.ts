import type { Family } from '@gwctl/shared/domain/ip';
import type { Counters } from '@gwctl/shared/domain/status';
import { SETS, type SetSpec } from './sets.js';

/** What one element counted. */
export interface Count {
  /** The element's comment. */
  readonly comment: string;
  readonly packets: number;
  readonly bytes: number;
}

/** What elements of sets counted that have a comment. */
export type ReadCounts = (family: Family, sets: readonly SetSpec[]) => Promise<ReadonlyMap<SetSpec, Iterable<Count>>>;

/**
 * What passed, by key. Packets and bytes are counted in the forward hook, where each packet of a flow comes by once, in either
 * direction; flows where their destination is decided, which happens once for each; refused ones where they are dropped.
 */
export async function countersOf(families: readonly Family[], read: ReadCounts): Promise<ReadonlyMap<string, Counters>> {
  const totals = new Map<string, { packets: number; bytes: number; flows: number; refused: number }>();
  for (const family of families) {
    for (const [set, counts] of await read(
      family,
      SETS[family].filter((s) => s.counter),
    )) {
      for (const { comment, packets, bytes } of counts) {
        const key = comment.slice(0, 8);
        const total = totals.get(key) ?? { packets: 0, bytes: 0, flows: 0, refused: 0 };
        totals.set(key, total);
        if (set.name.startsWith('refused-')) total.refused += packets;
        else if (set.name.startsWith('own-') || set.name === 'egress-own') {
          total.packets += packets;
          total.bytes += bytes;
        } else total.flows += packets;
      }
    }
  }
  return totals;
}
