import { AppError } from '@gwctl/shared/errors/app-error';
import { type Command, commandFailed, type Exec, mustRun } from '../../system/exec.js';
import {
  COMPANION,
  type ForwardFilters,
  type IptablesForward,
  type NativeDrop,
  parseForward,
  seesMark,
  type Variant,
} from './filters.js';
import { MARK_BIT, SCRATCH, TABLE } from './layout.js';
import { parseObjects } from './listing.js';

/** Reads what others' filters do with forwarded packets, and places our one rule there. */
export interface Filters {
  read(): Promise<ForwardFilters>;
  /** Our rule in the FORWARD chain exactly once, in first place, or not at all; `present` are there now. */
  place(variant: Variant, wanted: boolean, present: number): Promise<void>;
}

/** Seconds to wait for others that write at the same time; iptables-legacy without it waits for ever. */
const LOCK_SECONDS = '5';

/** What one variant says, or why it says nothing. */
type Said = { readonly forward?: IptablesForward; readonly trouble?: string };

export class ProgramFilters implements Filters {
  readonly #exec: Exec;
  readonly #legacyTables: () => Promise<string>;

  /** `legacyTables` reads /proc/net/ip_tables_names, which is empty where iptables-legacy was never used in this namespace. */
  constructor(options: { readonly exec: Exec; readonly legacyTables: () => Promise<string> }) {
    this.#exec = options.exec;
    this.#legacyTables = options.legacyTables;
  }

  async read(): Promise<ForwardFilters> {
    const [nft, legacy, native] = await Promise.all([this.#nft(), this.#legacy(), this.#native()]);
    // What iptables wrote it also reads, and our rule in it lets our flows pass; what it cannot read is another's.
    const foreign = native.drops.filter((d) => nft.forward === undefined || d.table !== 'ip filter' || d.chain !== 'FORWARD');
    const trouble = [nft.trouble, legacy.trouble, native.trouble].filter((t) => t !== undefined).join('; ');
    return {
      ...(nft.forward ? { nft: nft.forward } : {}),
      ...(legacy.forward ? { legacy: legacy.forward } : {}),
      native: foreign,
      ...(trouble === '' ? {} : { trouble }),
    };
  }

  async place(variant: Variant, wanted: boolean, present: number): Promise<void> {
    // Through iptables even for its nft variant: a rule that nft writes makes the table unreadable for iptables-save.
    const lines = [
      ...Array.from({ length: present }, () => `-D FORWARD ${COMPANION}`),
      ...(wanted ? [`-I FORWARD 1 ${COMPANION}`] : []),
    ];
    await mustRun(this.#exec, {
      program: `iptables-${variant}-restore`,
      args: ['--noflush', '-w', LOCK_SECONDS],
      stdin: `*filter\n${lines.join('\n')}\nCOMMIT\n`,
    });
  }

  async #nft(): Promise<Said> {
    return this.#saved('nft');
  }

  async #legacy(): Promise<Said> {
    // Merely running the legacy program would load its modules, and with them its hooks, into a host that does without.
    if (!(await this.#legacyTables()).split('\n').includes('filter')) return {};
    return this.#saved('legacy');
  }

  async #saved(variant: Variant): Promise<Said> {
    const { stdout, ...trouble } = await this.#printed({ program: `iptables-${variant}-save`, args: ['-t', 'filter'] });
    if (stdout === undefined) return trouble;
    // It then exits with 0, and lists nothing.
    if (/is incompatible/.test(stdout)) return { trouble: 'the table "ip filter" holds rules that iptables cannot show' };
    const forward = parseForward(stdout);
    return forward ? { forward } : {};
  }

  async #native(): Promise<{ drops: NativeDrop[]; trouble?: string }> {
    const { stdout, ...trouble } = await this.#printed({ program: 'nft', args: ['-j', 'list', 'chains'] });
    const drops = stdout === undefined ? [] : nativeDrops(stdout);
    const open = await Promise.all(drops.map((d) => this.#letsUsPass(d)));
    return { drops: drops.filter((_, i) => !open[i]), ...trouble };
  }

  async #letsUsPass({ table, chain, priority }: NativeDrop): Promise<boolean> {
    const { stdout } = await this.#printed({ program: 'nft', args: ['-j', 'list', 'chain', ...table.split(' '), chain] });
    // Where it cannot be listed, it is named rather than passed over.
    return stdout !== undefined && passes(stdout, priority);
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

/** Chains of IPv4 in the forward hook that drop by policy, of the output of `nft -j list chains`. */
export function nativeDrops(text: string): NativeDrop[] {
  return parseObjects(text).flatMap(([kind, chain]) => {
    if (kind !== 'chain' || chain.hook !== 'forward' || chain.policy !== 'drop') return [];
    if (chain.family !== 'ip' && chain.family !== 'inet') return [];
    if (chain.table === TABLE || chain.table === SCRATCH) return [];
    return [{ table: `${chain.family} ${String(chain.table)}`, chain: String(chain.name), priority: Number(chain.prio) }];
  });
}

/** Whether a chain of this priority has a rule that accepts by our mark alone, or whatever was sent on to another address. */
export function passes(text: string, priority: number): boolean {
  return parseObjects(text).some(([kind, rule]) => {
    if (kind !== 'rule' || !Array.isArray(rule.expr)) return false;
    const [match, verdict, ...more] = rule.expr.filter((e) => !JSON.stringify(e).startsWith('{"counter"'));
    if (more.length > 0 || JSON.stringify(verdict) !== '{"accept":null}') return false;
    const said = JSON.stringify(match);
    if (said.includes('{"ct":{"key":"status"}}')) return said.includes('"right":"dnat"');
    return seesMark(priority) && said.includes(`{"&":[{"meta":{"key":"mark"}},${MARK_BIT}]}`);
  });
}
