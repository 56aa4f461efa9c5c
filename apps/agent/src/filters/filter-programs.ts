import type { Family } from '@gwctl/shared/domain/ip';
import { AppError } from '@gwctl/shared/errors/app-error';
import { type Command, commandFailed, type Exec, mustRun } from '../system/exec.js';
import { parseObjects } from '../system/nft-json.js';
import {
  COMPANION,
  type FilterHook,
  type ForwardFilters,
  type HookFilters,
  type IptablesForward,
  MARK_BIT,
  type NativeDrop,
  OWN_TABLES,
  parseForward,
  seesInputMark,
  seesMark,
  type Variant,
} from './filters.js';

/** Reads what others' filters do with packets that concern us, and places our one rule there. */
export interface Filters {
  read(): Promise<ForwardFilters>;
  /** Our rule in a chain of iptables exactly once, in first place, or not at all. */
  place(placing: Placing): Promise<void>;
}

export interface Placing {
  readonly variant: Variant;
  readonly family: Family;
  readonly hook: FilterHook;
  readonly wanted: boolean;
  /** How many are there now. */
  readonly present: number;
}

/** Seconds to wait for others that write at the same time; iptables-legacy without it waits for ever. */
const LOCK_SECONDS = '5';
const PROGRAMS: Readonly<Record<Family, string>> = { 4: 'iptables', 6: 'ip6tables' };

/** What one variant says, or why it says nothing. */
type Said = { readonly chains?: Readonly<Partial<Record<FilterHook, IptablesForward>>>; readonly trouble?: string };

export class ProgramFilters implements Filters {
  readonly #exec: Exec;
  readonly #legacyTables: Readonly<Record<Family, (() => Promise<string>) | undefined>>;

  /**
   * `legacyTables` reads /proc/net/ip_tables_names, which is empty where iptables-legacy was never used in this namespace;
   * `legacyTables6` reads /proc/net/ip6_tables_names. Without it ip6tables-legacy is never asked.
   */
  constructor(options: {
    readonly exec: Exec;
    readonly legacyTables: () => Promise<string>;
    readonly legacyTables6?: () => Promise<string>;
  }) {
    this.#exec = options.exec;
    this.#legacyTables = { 4: options.legacyTables, 6: options.legacyTables6 };
  }

  async read(): Promise<ForwardFilters> {
    const [nft, legacy, nft6, legacy6, native] = await Promise.all([
      this.#saved('nft', 4),
      this.#legacy(4),
      this.#saved('nft', 6),
      this.#legacy(6),
      this.#native(),
    ]);
    const troubles = [nft, legacy, nft6, legacy6, native].flatMap(({ trouble }) => trouble ?? []);
    // What iptables wrote it also reads, and our rule in it lets our flows pass; what it cannot read is another's.
    const of = (hook: FilterHook): HookFilters => {
      const [four, four1, six, six1] = [nft, legacy, nft6, legacy6].map(({ chains }) => chains?.[hook]);
      const readable = new Set([...(four ? ['ip filter'] : []), ...(six ? ['ip6 filter'] : [])]);
      const newer = { ...(six ? { nft: six } : {}), ...(six1 ? { legacy: six1 } : {}) };
      return {
        ...(four ? { nft: four } : {}),
        ...(four1 ? { legacy: four1 } : {}),
        ...(six || six1 ? { six: newer } : {}),
        native: native.drops[hook].filter((d) => !readable.has(d.table) || d.chain !== hook),
      };
    };
    return { ...of('FORWARD'), input: of('INPUT'), ...(troubles.length === 0 ? {} : { trouble: troubles.join('; ') }) };
  }

  async place({ variant, family, hook, wanted, present }: Placing): Promise<void> {
    // Through iptables even for its nft variant: a rule that nft writes makes the table unreadable for iptables-save.
    const lines = [
      ...Array.from({ length: present }, () => `-D ${hook} ${COMPANION}`),
      ...(wanted ? [`-I ${hook} 1 ${COMPANION}`] : []),
    ];
    await mustRun(this.#exec, {
      program: `${PROGRAMS[family]}-${variant}-restore`,
      args: ['--noflush', '-w', LOCK_SECONDS],
      stdin: `*filter\n${lines.join('\n')}\nCOMMIT\n`,
    });
  }

  async #legacy(family: Family): Promise<Said> {
    // Merely running the legacy program would load its modules, and with them its hooks, into a host that does without.
    if (!((await this.#legacyTables[family]?.()) ?? '').split('\n').includes('filter')) return {};
    return this.#saved('legacy', family);
  }

  async #saved(variant: Variant, family: Family): Promise<Said> {
    const command = { program: `${PROGRAMS[family]}-${variant}-save`, args: ['-t', 'filter'] };
    const { stdout, ...trouble } = await this.#printed(command);
    if (stdout === undefined) return trouble;
    // It then exits with 0, and lists nothing.
    if (/is incompatible/.test(stdout))
      return { trouble: `the table "${family === 4 ? 'ip' : 'ip6'} filter" holds rules that ${PROGRAMS[family]} cannot show` };
    const [forward, input] = [parseForward(stdout), parseForward(stdout, 'INPUT')];
    return { chains: { ...(forward ? { FORWARD: forward } : {}), ...(input ? { INPUT: input } : {}) } };
  }

  async #native(): Promise<{ drops: Readonly<Record<FilterHook, readonly NativeDrop[]>>; trouble?: string }> {
    const { stdout, ...trouble } = await this.#printed({ program: 'nft', args: ['-j', 'list', 'chains'] });
    const of = async (hook: FilterHook) => {
      const chains = stdout === undefined ? [] : nativeChains(stdout, hook);
      return (await Promise.all(chains.map((c) => this.#dropOf(c, hook)))).flat();
    };
    const [forward, input] = await Promise.all([of('FORWARD'), of('INPUT')]);
    return { drops: { FORWARD: forward, INPUT: input }, ...trouble };
  }

  /** Whether a chain drops what is ours; where it cannot be listed and drops by policy, it is named rather than passed over. */
  async #dropOf({ drops, ...chain }: NativeChain, hook: FilterHook): Promise<readonly NativeDrop[]> {
    const { stdout } = await this.#printed({
      program: 'nft',
      args: ['-j', 'list', 'chain', ...chain.table.split(' '), chain.chain],
    });
    if (stdout === undefined) return drops ? [chain] : [];
    if (passes(stdout, chain.priority, hook)) return [];
    if (drops) return [chain];
    const by = lastDrop(stdout);
    return by === undefined ? [] : [{ ...chain, by }];
  }

  /** What a program printed. A program that is not there has not written any rules: it then prints nothing, and that is no trouble. */
  async #printed(command: Command): Promise<{ stdout?: string; trouble?: string }> {
    try {
      const finished = await this.#exec.run(command);
      return finished.exitCode === 0 ? { stdout: finished.stdout } : { trouble: commandFailed(command, finished).message };
    } catch (error) {
      const failure = AppError.from(error);
      return failure.reason === 'PROGRAM_MISSING' ? {} : { trouble: failure.message };
    }
  }
}

/** A chain in one of the two hooks. */
export interface NativeChain extends NativeDrop {
  /** By its policy. */
  readonly drops: boolean;
}

/** Chains of others in a hook, of the output of `nft -j list chains`. */
export function nativeChains(text: string, hook: FilterHook = 'FORWARD'): NativeChain[] {
  return parseObjects(text).flatMap(([kind, chain]) => {
    if (kind !== 'chain' || chain.hook !== hook.toLowerCase()) return [];
    if (chain.family !== 'ip' && chain.family !== 'inet' && chain.family !== 'ip6') return [];
    if (OWN_TABLES.includes(String(chain.table))) return [];
    const table = `${chain.family} ${String(chain.table)}`;
    return [{ table, chain: String(chain.name), priority: Number(chain.prio), drops: chain.policy === 'drop' }];
  });
}

/** Those that drop by policy. */
export const nativeDrops = (text: string): NativeDrop[] =>
  nativeChains(text).flatMap(({ drops, ...chain }) => (drops ? [chain] : []));

/** How a chain ends where its last rule refuses whatever came so far, as firewalld's do: `drop` or `reject`. */
export function lastDrop(text: string): string | undefined {
  const last = parseObjects(text)
    .filter(([kind]) => kind === 'rule')
    .at(-1)?.[1];
  const expr = Array.isArray(last?.expr) ? last.expr : [];
  const [verdict, ...more] = expr.filter((e) => !/^\{"(counter|log)"/.test(JSON.stringify(e)));
  if (more.length > 0 || verdict === undefined) return undefined;
  return /^\{"(drop|reject)"/.exec(JSON.stringify(verdict))?.[1];
}

/** Whether a chain of this priority has a rule that accepts by our mark alone, or whatever was sent on to another address. */
export function passes(text: string, priority: number, hook: FilterHook = 'FORWARD'): boolean {
  const marked = hook === 'FORWARD' ? seesMark(priority) : seesInputMark(priority);
  return parseObjects(text).some(([kind, rule]) => {
    if (kind !== 'rule' || !Array.isArray(rule.expr)) return false;
    const [match, verdict, ...more] = rule.expr.filter((e) => !JSON.stringify(e).startsWith('{"counter"'));
    if (more.length > 0 || JSON.stringify(verdict) !== '{"accept":null}') return false;
    const said = JSON.stringify(match);
    if (said.includes('{"ct":{"key":"status"}}')) return hook === 'FORWARD' && said.includes('"right":"dnat"');
    return marked && said.includes(`{"&":[{"meta":{"key":"mark"}},${MARK_BIT}]}`);
  });
}
