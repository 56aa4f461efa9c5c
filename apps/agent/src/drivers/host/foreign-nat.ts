import type { Family } from '@gwctl/shared/domain/ip';
import { AppError } from '@gwctl/shared/errors/app-error';
import { type Command, commandFailed, type Exec } from '../../system/exec.js';
import type { ForeignRule } from './foreign-rule.js';
import { iptablesNat } from './iptables-nat.js';
import { type NatChain, natChains, nftNat } from './nft-nat.js';

/** What other tools send on by rules of their own. The same object for as long as nothing was read anew. */
export interface ForeignNat {
  readonly rules: readonly ForeignRule[];
  /** What could not be read, and why. */
  readonly trouble?: string;
}

export const NO_FOREIGN_NAT: ForeignNat = { rules: [] };

/** Reads rules of others that change destinations, and never changes any. */
export interface ForeignNatReader {
  read(): Promise<ForeignNat>;
}

/** Reading takes at most this share of the time. */
const SHARE = 50;
/** Milliseconds. */
const SHORTEST_GAP = 1_000;
/** Of one table of another tool. */
const MOST_BYTES = 8 << 20;
const OURS = /^gwctl/;

export class ProgramForeignNat implements ForeignNatReader {
  readonly #exec: Exec;
  readonly #generation: () => number | undefined;
  readonly #legacyTables: (family: Family) => Promise<string>;
  readonly #now: () => number;
  #last:
    | { readonly found: ForeignNat; readonly generation: number | undefined; readonly at: number; readonly took: number }
    | undefined;

  /**
   * `generation`: the kernel's count of changes of nftables, or undefined. `legacyTables` reads /proc/net/ip_tables_names or
   * ip6_tables_names, empty where iptables-legacy was never used in this namespace. `now`: milliseconds of a clock that only goes on.
   */
  constructor(options: {
    readonly exec: Exec;
    readonly generation: () => number | undefined;
    readonly legacyTables: (family: Family) => Promise<string>;
    readonly now: () => number;
  }) {
    this.#exec = options.exec;
    this.#generation = options.generation;
    this.#legacyTables = options.legacyTables;
    this.#now = options.now;
  }

  /** Reads nothing where nothing changed, and not too often where something does. */
  async read(): Promise<ForeignNat> {
    const began = this.#now();
    const legacy = await this.#legacyFamilies();
    const generation = this.#generation();
    const last = this.#last;
    if (last) {
      // iptables-legacy counts nothing, so where it holds translations they are read again.
      if (generation !== undefined && generation === last.generation && legacy.length === 0) return last.found;
      if (began - last.at < Math.max(SHORTEST_GAP, last.took * SHARE)) return last.found;
    }
    const found = await this.#all(legacy);
    const at = this.#now();
    const same = last && JSON.stringify(found) === JSON.stringify(last.found) ? last.found : found;
    this.#last = { found: same, generation, at, took: at - began };
    return same;
  }

  async #all(legacy: readonly Family[]): Promise<ForeignNat> {
    const troubles: string[] = [];
    const chains = await this.#printed({ program: 'nft', args: ['-j', 'list', 'chains'] }, troubles);
    const native =
      chains === undefined ? [] : this.#parsed(() => natChains(chains, (table) => OURS.test(table)), troubles, 'chains');
    const rules = [
      ...(await this.#native(native, troubles)),
      ...(await this.#iptables('nft', native.flatMap(iptablesFamily), troubles)),
      ...(await this.#iptables('legacy', legacy, troubles)),
    ];
    return { rules, ...(troubles.length === 0 ? {} : { trouble: troubles.join('; ') }) };
  }

  async #native(chains: readonly NatChain[], troubles: string[]): Promise<ForeignRule[]> {
    const rules: ForeignRule[] = [];
    for (const [table, own] of Map.groupBy(chains, (c) => `${c.family} ${c.table}`)) {
      // What iptables wrote into its own table it also prints, and only it can read all of it.
      if (own.every((c) => iptablesFamily(c).length > 0)) continue;
      const printed = await this.#printed(
        { program: 'nft', args: ['-j', 'list', 'table', ...table.split(' ')], maxOutputBytes: MOST_BYTES },
        troubles,
      );
      if (printed !== undefined) rules.push(...this.#parsed(() => nftNat(printed, own), troubles, table));
    }
    return rules;
  }

  async #iptables(variant: 'nft' | 'legacy', families: readonly Family[], troubles: string[]): Promise<ForeignRule[]> {
    const rules: ForeignRule[] = [];
    for (const family of new Set(families)) {
      const program = `${family === 4 ? 'iptables' : 'ip6tables'}-${variant}-save`;
      const text = await this.#printed({ program, args: ['-t', 'nat'] }, troubles);
      if (text === undefined) continue;
      // It then exits with 0, and lists nothing.
      if (/is incompatible/.test(text)) troubles.push(`the nat table holds rules that ${program} cannot show`);
      else rules.push(...iptablesNat({ text, family, variant }));
    }
    return rules;
  }

  async #legacyFamilies(): Promise<Family[]> {
    const used = await Promise.all(
      ([4, 6] as const).map(async (f) => ((await this.#legacyTables(f)).split('\n').includes('nat') ? f : undefined)),
    );
    return used.filter((f) => f !== undefined);
  }

  #parsed<T>(parse: () => T[], troubles: string[], what: string): T[] {
    try {
      return parse();
    } catch (error) {
      troubles.push(`what nft prints of ${what} cannot be read: ${error instanceof Error ? error.message : String(error)}`);
      return [];
    }
  }

  /** A program that is not there has not written any rules. */
  async #printed(command: Command, troubles: string[]): Promise<string | undefined> {
    try {
      const finished = await this.#exec.run(command);
      if (finished.exitCode === 0) return finished.stdout;
      troubles.push(commandFailed(command, finished).message);
    } catch (error) {
      const failure = AppError.from(error);
      if (failure.reason !== 'PROGRAM_MISSING') troubles.push(failure.message);
    }
    return undefined;
  }
}

/** Whether a chain is the one of iptables-nft. */
const iptablesFamily = ({ family, table, chain }: NatChain): Family[] =>
  table === 'nat' && chain === 'PREROUTING' && family !== 'inet' ? [family === 'ip6' ? 6 : 4] : [];
