import { type Flow, type FlowMatch, type FlowTable, matches } from './conntrack.js';

/** A flow table in memory. */
export class MemoryFlows implements FlowTable {
  flows: Flow[] = [];
  readonly asked: FlowMatch[] = [];
  failure: Error | undefined;

  async marked(bit: number): Promise<readonly Flow[]> {
    if (this.failure) throw this.failure;
    return this.flows.filter((f) => (f.mark & bit) !== 0);
  }

  async remove(wanted: readonly FlowMatch[]): Promise<number> {
    this.asked.push(...wanted);
    if (this.failure) throw this.failure;
    const before = this.flows.length;
    this.flows = this.flows.filter((f) => !wanted.some((m) => matches(f, m)));
    return before - this.flows.length;
  }
}
