import type { Family } from '@gwctl/shared/domain/ip';
import { AppError } from '@gwctl/shared/errors/app-error';
import { type Command, type Conversation, type Exec, type Finished, mustRun } from '../../system/exec.js';
import { CHAINS, TABLES, type TableName } from './layout.js';
import { foreignNativeRules, parseList, parseSave, type Saved, tableMark } from './save-format.js';
import { FEATURES, type Feature, type Trial, trials } from './trial.js';

export type Variant = 'nft' | 'legacy';

/** The tables of one iptables variant for one family: the only thing of this driver that talks to the kernel. */
export interface IptablesTables {
  readonly variant: Variant;
  readonly family: Family;
  /** Reads tables. Throws FOREIGN_NATIVE_RULES where they hold what iptables cannot show, or what the program said. */
  read(tables: readonly TableName[]): Promise<Saved>;
  /** What iptables-save prints of a table with its counters; empty where there is no such table. */
  readCounters(table: TableName): Promise<string>;
  /**
   * Carries out lines of iptables-restore, each batch in one transaction, in order, stopping at the first that fails. Then reads the
   * chains that they name back from the kernel, but for those that they removed; whole tables where that is all it can.
   */
  write(batches: readonly Batch[]): Promise<Saved>;
  /**
   * Tries every match and target that rendering uses, in chains that nothing leads to. Throws with what is missing, but gives the
   * features that the host can do without, each with what the program said.
   */
  tryOut(): Promise<ReadonlyMap<Feature, string>>;
}

/** Of one variant; IPv6 where the host has it. */
export interface FamilyTables {
  readonly 4: IptablesTables;
  readonly 6?: IptablesTables;
}

/** One transaction of one table. */
export interface Batch {
  readonly table: TableName;
  readonly lines: readonly string[];
}

/** Seconds to wait for others that write at the same time; iptables-legacy without it waits for ever. */
const LOCK_SECONDS = '5';
const WRITE_TIMEOUT_MS = 120_000;
/** Tens of thousands of forwards are tens of megabytes of text. */
const MAX_OUTPUT_BYTES = 256 * 2 ** 20;
/** Up to this many chains are listed one by one; for more it is quicker to read the tables as a whole. */
const MOST_LISTED = 128;
const DONE = '# gwctl done';
/** How long a process waits for the next change. */
const IDLE_MS = 2_000;

export class ProgramTables implements IptablesTables {
  readonly variant: Variant;
  readonly family: Family;
  readonly #exec: Exec;
  readonly #legacyTables: () => Promise<string>;
  /** Whether iptables-restore lists tables too, as tried in `tryOut`. */
  #lists = false;
  #conversation: Conversation | undefined;

  /**
   * `family`: default 4. `legacyTables` reads /proc/net/ip_tables_names (ip6_tables_names), which is empty where iptables-legacy was
   * never used in this namespace.
   */
  constructor(options: {
    readonly variant: Variant;
    readonly family?: Family;
    readonly exec: Exec;
    readonly legacyTables: () => Promise<string>;
  }) {
    this.variant = options.variant;
    this.family = options.family ?? 4;
    this.#exec = options.exec;
    this.#legacyTables = options.legacyTables;
  }

  async read(tables: readonly TableName[]): Promise<Saved> {
    if (tables.length === 0) return new Map();
    // Merely running the legacy program would load its modules, and with them its hooks, into a host that does without.
    if (this.variant === 'legacy' && !(await this.#legacyHas(tables))) return new Map();
    return parseSave((await this.#succeed(this.#save(tables))).stdout, tables, this.family);
  }

  async readCounters(table: TableName): Promise<string> {
    if (this.variant === 'legacy' && !(await this.#legacyHas([table]))) return '';
    const { args, ...save } = this.#save([table]);
    return (await this.#succeed({ ...save, args: ['-c', ...args] })).stdout;
  }

  async #legacyHas(tables: readonly TableName[]): Promise<boolean> {
    const there = (await this.#legacyTables()).split('\n').map((name) => name.trim());
    return there.includes('unknown') || tables.some((t) => there.includes(t));
  }

  #save(tables: readonly TableName[]): Command & { readonly args: readonly string[] } {
    const args = tables.length === 1 ? ['-t', ...tables] : [];
    return { program: this.#program('save'), args, timeoutMs: WRITE_TIMEOUT_MS, maxOutputBytes: MAX_OUTPUT_BYTES };
  }

  #program(what: 'save' | 'restore'): string {
    return `${this.family === 6 ? 'ip6tables' : 'iptables'}-${this.variant}-${what}`;
  }

  async write(batches: readonly Batch[]): Promise<Saved> {
    if (batches.length === 0) return new Map();
    const touched = touchedChains(batches);
    const writing = batches.map(transaction).join('');
    const chains = [...touched.values()].reduce((sum, { there }) => sum + there.size, 0);
    if (!this.#lists || chains > MOST_LISTED) {
      if (this.#lists) await this.#say(`${writing}${DONE}\n`);
      else await this.#succeed(this.#restore(writing));
      return this.#reread([...touched.keys()]);
    }
    const listing = [...touched].map(([table, { there }]) => list(table, [...there])).join('');
    return parseList(await this.#say(`${writing}${listing}${DONE}\n`));
  }

  /**
   * iptables-nft-restore carries out what it reads as it reads it, so one process serves a burst of changes: starting one takes longer
   * than a change, and each waits, whenever it closes a socket to nftables, until what was deleted lately is really gone (10 to 30 ms).
   * iptables-legacy-restore must end to let go of its lock; nothing makes it wait.
   */
  async #say(input: string): Promise<string> {
    const { stdin: _, ...command } = this.#restore('');
    if (this.variant === 'legacy') return (await this.#succeed({ ...this.#restore(input), untilLine: DONE })).stdout;
    if (!this.#conversation?.alive) this.#conversation = this.#exec.converse(command, IDLE_MS);
    try {
      return await this.#conversation.say(input, DONE);
    } catch (error) {
      throw explained(error, this.family);
    }
  }

  /** Only what was asked for, though the program prints all tables unless it is asked for one. */
  async #reread(tables: readonly TableName[]): Promise<Saved> {
    const read = await this.read(tables);
    return new Map([...read].filter(([name]) => tables.includes(name as TableName)));
  }

  async tryOut(): Promise<ReadonlyMap<Feature, string>> {
    const { needed, features } = trials(this.family);
    const missing = new Map<Feature, string>();
    const all = await this.#try([needed, ...FEATURES.map((f) => features[f])]);
    // Most hosts have everything; the others are asked one by one.
    if (all !== undefined) {
      const failure = await this.#try([needed]);
      if (failure !== undefined) throw failure;
      for (const feature of FEATURES) {
        const trouble = await this.#try([features[feature]]);
        if (trouble !== undefined) missing.set(feature, AppError.from(trouble).message);
      }
    }
    const listing = ['mangle', 'filter', 'nat'].map((table) => list(table as TableName, ['OUTPUT'])).join('');
    const listed = await this.#exec.run(this.#restore(`${listing}${DONE}\n`));
    this.#lists = listed.exitCode === 0 && listed.stdout.endsWith(`${DONE}\n`) && parseList(listed.stdout).size === 3;
    return missing;
  }

  /** Writes rules into chains that nothing leads to, and takes them away again. Gives what speaks against it. */
  async #try(trials: readonly Trial[]): Promise<unknown> {
    const chain = CHAINS.detect;
    const tables = TABLES.filter((t) => trials.some((trial) => trial[t]));
    const rules = (table: TableName) => trials.flatMap((trial) => trial[table] ?? []);
    const fill = tables.map(
      (table): Batch => ({ table, lines: [`:${chain} - [0:0]`, ...rules(table).map((r) => `-A ${chain} ${r}`)] }),
    );
    const clear = tables.map((table): Batch => ({ table, lines: [`-F ${chain}`, `-X ${chain}`] }));
    try {
      await this.#succeed(this.#restore([...fill, ...clear].map(transaction).join('')));
      return undefined;
    } catch (error) {
      // What was tried before the failure stays until it is taken away, table by table; a table without it refuses, rightly.
      if (AppError.from(error).reason !== 'PROGRAM_MISSING')
        for (const batch of clear) await this.#exec.run(this.#restore(transaction(batch)));
      return error;
    }
  }

  #restore(stdin: string): Command {
    return {
      program: this.#program('restore'),
      // Verbose: it then repeats comments, by which it is known how far it got.
      args: ['--noflush', '--verbose', '-w', LOCK_SECONDS],
      stdin,
      timeoutMs: WRITE_TIMEOUT_MS,
      maxOutputBytes: MAX_OUTPUT_BYTES,
    };
  }

  async #succeed(command: Command): Promise<Finished> {
    try {
      return await mustRun(this.#exec, command);
    } catch (error) {
      throw explained(error, this.family);
    }
  }
}

const transaction = ({ table, lines }: Batch) => `*${table}\n${lines.join('\n')}\nCOMMIT\n`;
const list = (table: TableName, chains: readonly string[]) =>
  `${tableMark(table)}\n*${table}\n${chains.map((c) => `-S ${c}\n`).join('')}COMMIT\n`;

/** The chains that lines name, by table: those that are there afterwards, and those that are removed. */
export function touchedChains(batches: readonly Batch[]): ReadonlyMap<TableName, { there: Set<string>; gone: Set<string> }> {
  const touched = new Map<TableName, { there: Set<string>; gone: Set<string> }>();
  for (const { table, lines } of batches) {
    const chains = touched.get(table) ?? { there: new Set(), gone: new Set() };
    touched.set(table, chains);
    for (const line of lines) {
      const [, command, chain] = /^(:|-[AIDFX] )(\S+)/.exec(line) ?? [];
      if (chain === undefined) throw new Error(`not a line of iptables-restore that gwctl writes: ${line}`);
      chains[command === '-X ' ? 'gone' : 'there'].add(chain);
      chains[command === '-X ' ? 'there' : 'gone'].delete(chain);
    }
  }
  return touched;
}

function explained(error: unknown, family: Family): unknown {
  if (!(error instanceof AppError) || error.reason !== 'COMMAND_FAILED') return error;
  const incompatible = /table [`'](\w+)' is incompatible/i.exec(error.message)?.[1];
  if (incompatible !== undefined) return foreignNativeRules(incompatible, family);
  // They exit with 4 as well.
  if (/permission denied|operation not permitted/i.test(error.message)) return error;
  // Exit code 4: somebody else holds the lock or changed the tables meanwhile; another attempt is worth it.
  if (error.metadata.exitCode !== '4') return error;
  return new AppError({
    code: 'UNAVAILABLE',
    reason: 'TABLES_BUSY',
    message: `another program was changing the iptables tables for longer than ${LOCK_SECONDS} s; gwctl tries again`,
    cause: error,
  });
}
