import { transports } from '@gwctl/shared/domain/forward';
import { changesOf, type Listed } from './planner/sorted-list.js';
import type { ReadEntry } from './planner/types.js';

/** The ports that forwards want, by transport protocol, kept up to date with each change of them. */
export class WantedPorts {
  readonly tcp = new Counted();
  readonly udp = new Counted();
  private entries: Listed<ReadEntry> = [];

  /** `entries` in order of uid; what is the same object is not looked at again. */
  update(entries: Listed<ReadEntry>): this {
    if (entries === this.entries) return this;
    const { gone, come } = changesOf(this.entries, entries);
    for (const entry of gone) this.count(entry, -1);
    for (const entry of come) this.count(entry, 1);
    this.entries = entries;
    return this;
  }

  private count(entry: ReadEntry, by: 1 | -1): void {
    if (entry.kind !== 'forward') return;
    const { ports, protocol } = entry.forward.spec.listen;
    if (!ports) return;
    for (const transport of transports(protocol))
      for (let port = ports.first; port <= ports.last; port++) this[transport].add(port, by);
  }
}

/** Ports, and how many want each. */
class Counted {
  private readonly counts = new Map<number, number>();

  get size(): number {
    return this.counts.size;
  }

  has(port: number): boolean {
    return this.counts.has(port);
  }

  add(port: number, by: number): void {
    const count = (this.counts.get(port) ?? 0) + by;
    if (count > 0) this.counts.set(port, count);
    else this.counts.delete(port);
  }
}
