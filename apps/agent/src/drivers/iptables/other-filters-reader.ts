import type { Family } from '@gwctl/shared/domain/ip';
import { AppError } from '@gwctl/shared/errors/app-error';
import { lastDrop, nativeChains } from '../../filters/filter-programs.js';
import type { FilterHook, NativeDrop } from '../../filters/filters.js';
import type { Exec } from '../../system/exec.js';
import { parseObjects } from '../../system/nft-json.js';
import { FAMILIES, MARK_BIT } from './layout.js';
import { NO_OTHER_FILTERS, type OtherFilters, type OtherHook, otherForward } from './other-filters.js';
import type { SavedTable } from './save-format.js';
import type { CompanionStep } from './steps.js';
import type { FamilyTables, IptablesTables } from './tables.js';

/** Reads what filters outside our own tables do, and writes our one rule there. */
export interface ForeignFilters {
  read(): Promise<OtherFilters>;
  place(step: CompanionStep): Promise<void>;
}

/** For a host whose other filters are nobody's business, as while cleaning up beside another driver. */
export const NO_FOREIGN_FILTERS: ForeignFilters = { read: async () => NO_OTHER_FILTERS, place: async () => undefined };

/** Asks the other variant of iptables, and nft. A program that is not there has written nothing. */
export class ProgramForeignFilters implements ForeignFilters {
  readonly #exec: Exec;
  readonly #other: FamilyTables;
  readonly #own: string;

  /** `own`: our variant, whose chains nft lists too. */
  constructor(options: { readonly exec: Exec; readonly other: FamilyTables; readonly own: IptablesTables['variant'] }) {
    this.#exec = options.exec;
    this.#other = options.other;
    this.#own = options.own;
  }

  async read(): Promise<OtherFilters> {
    const troubles: string[] = [];
    const ask = async <T>(question: Promise<T>, otherwise: T): Promise<T> => {
      try {
        return await question;
      } catch (error) {
        const failure = AppError.from(error);
        if (failure.reason !== 'PROGRAM_MISSING') troubles.push(failure.message);
        return otherwise;
      }
    };
    const [chains, four, six] = await Promise.all([
      ask(this.#nft(['list', 'chains']), EMPTY),
      ...FAMILIES.map((f) => ask(this.#filter(f), undefined)),
    ]);
    const of = async (hook: FilterHook): Promise<OtherHook> => {
      const [in4, in6] = [four && otherForward(four, hook), six && otherForward(six, hook)];
      const forward = { ...(in4 ? { 4: in4 } : {}), ...(in6 ? { 6: in6 } : {}) };
      const native = await ask(this.#native(chains, hook), []);
      // What iptables wrote it also reads, and a rule of ours in it lets our flows pass.
      return { forward, native: native.filter(({ table, chain }) => !(chain === hook && this.#isIptables(table, forward))) };
    };
    const [forward, input] = await Promise.all([of('FORWARD'), of('INPUT')]);
    return {
      program: `iptables-${this.#own === 'nft' ? 'legacy' : 'nft'}`,
      ...forward,
      input,
      ...(troubles.length === 0 ? {} : { trouble: troubles.join('; ') }),
    };
  }

  async place({ family, lines }: CompanionStep): Promise<void> {
    await this.#other[family]?.write([{ table: 'filter', lines }]);
  }

  #isIptables(table: string, forward: OtherHook['forward']): boolean {
    const family = table === 'ip filter' ? 4 : table === 'ip6 filter' ? 6 : undefined;
    return family !== undefined && (this.#own === 'nft' || forward[family] !== undefined);
  }

  async #filter(family: Family): Promise<SavedTable | undefined> {
    return (await this.#other[family]?.read(['filter']))?.get('filter');
  }

  async #native(listed: string, hook: FilterHook): Promise<readonly NativeDrop[]> {
    const chains = nativeChains(listed, hook);
    const drops = await Promise.all(
      chains.map(async ({ drops: byPolicy, ...chain }): Promise<readonly NativeDrop[]> => {
        if (chain.table.endsWith(' filter') && chain.chain === hook) return byPolicy ? [chain] : [];
        const text = await this.#nft(['list', 'chain', ...chain.table.split(' '), chain.chain]);
        if (passes(text, hook)) return [];
        if (byPolicy) return [chain];
        const by = lastDrop(text);
        return by === undefined ? [] : [{ ...chain, by }];
      }),
    );
    return drops.flat();
  }

  async #nft(args: readonly string[]): Promise<string> {
    const { exitCode, stdout } = await this.#exec.run({ program: 'nft', args: ['-j', ...args] });
    return exitCode === 0 ? stdout : EMPTY;
  }
}

const EMPTY = '{"nftables":[]}';

/**
 * Whether a chain has a rule that accepts by our mark alone (of the connection; in the input hook, of the packet), or whatever was sent
 * on to another address.
 */
export function passes(text: string, hook: FilterHook = 'FORWARD'): boolean {
  return parseObjects(text).some(([kind, rule]) => {
    if (kind !== 'rule' || !Array.isArray(rule.expr)) return false;
    const [match, verdict, ...more] = rule.expr.filter((e) => !JSON.stringify(e).startsWith('{"counter"'));
    if (more.length > 0 || JSON.stringify(verdict) !== '{"accept":null}') return false;
    const said = JSON.stringify(match);
    if (hook === 'INPUT') return said.includes(`{"&":[{"meta":{"key":"mark"}},${MARK_BIT}]}`);
    if (said.includes('{"ct":{"key":"status"}}')) return said.includes('"right":"dnat"');
    return said.includes(`{"&":[{"ct":{"key":"mark"}},${MARK_BIT}]}`);
  });
}
