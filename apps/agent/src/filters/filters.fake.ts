import type { Family } from '@gwctl/shared/domain/ip';
import type { Filters } from './filter-programs.js';
import {
  COMPANION,
  type ForwardFilters,
  type IptablesForward,
  type NativeDrop,
  parseForward,
  VARIANTS,
  type Variant,
} from './filters.js';

/** Others' filters in memory. */
export class FakeFilters implements Filters {
  readonly forward = new Map<Variant, FakeChain>();
  /** Of ip6tables. */
  readonly forward6 = new Map<Variant, FakeChain>();
  native: NativeDrop[] = [];
  trouble: string | undefined;

  async read(): Promise<ForwardFilters> {
    const six = read(this.forward6);
    return {
      ...read(this.forward),
      ...(Object.keys(six).length > 0 ? { six } : {}),
      native: this.native,
      ...(this.trouble === undefined ? {} : { trouble: this.trouble }),
    };
  }

  async place(variant: Variant, wanted: boolean, present: number, family: Family = 4): Promise<void> {
    const chains = family === 4 ? this.forward : this.forward6;
    const chain = chains.get(variant) ?? { policy: 'ACCEPT', rules: [] };
    if (chain.rules.filter((r) => r === COMPANION).length < present) throw new Error('no such rule');
    const others = chain.rules.filter((r) => r !== COMPANION);
    chains.set(variant, { ...chain, rules: wanted ? [COMPANION, ...others] : others });
  }
}

interface FakeChain {
  readonly policy: 'ACCEPT' | 'DROP';
  readonly rules: readonly string[];
}

function read(chains: ReadonlyMap<Variant, FakeChain>): Partial<Record<Variant, IptablesForward>> {
  const all = VARIANTS.flatMap((variant) => {
    const chain = chains.get(variant);
    const text = chain && [`:FORWARD ${chain.policy} [0:0]`, ...chain.rules.map((r) => `-A FORWARD ${r}`)].join('\n');
    const found = text === undefined ? undefined : parseForward(text);
    return found ? [[variant, found] as const] : [];
  });
  return Object.fromEntries(all);
}
