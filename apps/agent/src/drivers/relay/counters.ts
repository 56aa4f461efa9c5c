import type { Counters } from '@gwctl/shared/domain/status';
import type { ForwardCounts } from '../../relay/engine.js';

type Counted = ReadonlyMap<string, Counters>;

/** Sums what the relays of one gateway counted: the one that listens, those that drain, and those that are gone, as last asked. */
export class RelayCounters {
  readonly #last = new Map<number, Counted>();
  #gone: Counted = new Map();

  /** What one of them says now. */
  take(pid: number, counts: readonly ForwardCounts[]): void {
    this.#last.set(pid, new Map(counts.map((c) => [c.uid, countersOf(c)])));
  }

  /** Process ids of all that are there, also of those that say nothing: what they said last still counts. Any other has ended. */
  keep(pids: ReadonlySet<number>): void {
    for (const [pid, counted] of this.#last) {
      if (pids.has(pid)) continue;
      this.#gone = sum([this.#gone, counted]);
      this.#last.delete(pid);
    }
  }

  sum(): Counted {
    return sum([this.#gone, ...this.#last.values()]);
  }
}

/** What TCP is cut into is the kernel's business: only datagrams are packets here. Refused are connections and datagrams. */
const countersOf = ({ datagrams, bytes, flows, refused }: ForwardCounts): Counters => ({
  packets: datagrams,
  bytes,
  flows,
  refused,
});

function sum(all: readonly Counted[]): Counted {
  const [only] = all;
  if (all.length === 1 && only) return only;
  const total = new Map<string, Counters>();
  for (const counted of all)
    for (const [uid, c] of counted) {
      const before = total.get(uid);
      total.set(uid, before ? add(before, c) : c);
    }
  return total;
}

const add = (a: Counters, b: Counters): Counters => ({
  packets: a.packets + b.packets,
  bytes: a.bytes + b.bytes,
  flows: a.flows + b.flows,
  refused: a.refused + b.refused,
});
