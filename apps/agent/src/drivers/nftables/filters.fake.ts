import type { Filters } from './filter-programs.js';
import { COMPANION, type ForwardFilters, type NativeDrop, parseForward, VARIANTS, type Variant } from './filters.js';

/** Others' filters in memory. */
export class FakeFilters implements Filters {
  readonly forward = new Map<Variant, { policy: 'ACCEPT' | 'DROP'; rules: string[] }>();
  native: NativeDrop[] = [];
  trouble: string | undefined;

  async read(): Promise<ForwardFilters> {
    const all = VARIANTS.flatMap((variant) => {
      const chain = this.forward.get(variant);
      const text = chain && [`:FORWARD ${chain.policy} [0:0]`, ...chain.rules.map((r) => `-A FORWARD ${r}`)].join('\n');
      const read = text === undefined ? undefined : parseForward(text);
      return read ? [[variant, read] as const] : [];
    });
    return { ...Object.fromEntries(all), native: this.native, ...(this.trouble === undefined ? {} : { trouble: this.trouble }) };
  }

  async place(variant: Variant, wanted: boolean, present: number): Promise<void> {
    const chain = this.forward.get(variant) ?? { policy: 'ACCEPT', rules: [] };
    if (chain.rules.filter((r) => r === COMPANION).length < present) throw new Error('no such rule');
    const others = chain.rules.filter((r) => r !== COMPANION);
    this.forward.set(variant, { ...chain, rules: wanted ? [COMPANION, ...others] : others });
  }
}
