import type { Family } from '@gwctl/shared/domain/ip';
import type { Filters, Placing } from './filter-programs.js';
import {
  COMPANION,
  type FilterHook,
  type ForwardFilters,
  type HookFilters,
  type IptablesForward,
  type NativeDrop,
  parseForward,
  VARIANTS,
  type Variant,
} from './filters.js';

/** Others' filters in memory. */
export class FakeFilters implements Filters {
  readonly forward: FakeChains = new Map();
  /** Of ip6tables. */
  readonly forward6: FakeChains = new Map();
  readonly input: FakeChains = new Map();
  readonly input6: FakeChains = new Map();
  native: NativeDrop[] = [];
  nativeInput: NativeDrop[] = [];
  trouble: string | undefined;

  async read(): Promise<ForwardFilters> {
    return {
      ...this.#read('FORWARD', this.native),
      input: this.#read('INPUT', this.nativeInput),
      ...(this.trouble === undefined ? {} : { trouble: this.trouble }),
    };
  }

  #read(hook: FilterHook, native: readonly NativeDrop[]): HookFilters {
    const six = read(this.#chains(hook, 6), hook);
    return { ...read(this.#chains(hook, 4), hook), ...(Object.keys(six).length > 0 ? { six } : {}), native };
  }

  #chains(hook: FilterHook, family: Family): FakeChains {
    if (hook === 'FORWARD') return family === 4 ? this.forward : this.forward6;
    return family === 4 ? this.input : this.input6;
  }

  async place({ variant, family, hook, wanted, present }: Placing): Promise<void> {
    const chains = this.#chains(hook, family);
    const chain = chains.get(variant) ?? { policy: 'ACCEPT', rules: [] };
    if (chain.rules.filter((r) => r === COMPANION).length < present) throw new Error('no such rule');
    const others = chain.rules.filter((r) => r !== COMPANION);
    chains.set(variant, { ...chain, rules: wanted ? [COMPANION, ...others] : others });
  }
}

type FakeChains = Map<Variant, FakeChain>;

interface FakeChain {
  readonly policy: 'ACCEPT' | 'DROP';
  readonly rules: readonly string[];
}

function read(chains: FakeChains, hook: FilterHook): Partial<Record<Variant, IptablesForward>> {
  const all = VARIANTS.flatMap((variant) => {
    const chain = chains.get(variant);
    const text = chain && [`:${hook} ${chain.policy} [0:0]`, ...chain.rules.map((r) => `-A ${hook} ${r}`)].join('\n');
    const found = text === undefined ? undefined : parseForward(text, hook);
    return found ? [[variant, found] as const] : [];
  });
  return Object.fromEntries(all);
}
