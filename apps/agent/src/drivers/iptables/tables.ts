import { AppError } from '@gwctl/shared/errors/app-error';
import { type Command, type Conversation, type Exec, type Finished, mustRun } from '../../system/exec.js';
import { CHAINS, TABLES, type TableName } from './layout.js';
import { TRIAL } from './render.js';
import { foreignNativeRules, parseList, parseSave, type Saved, tableMark } from './save-format.js';

export type Variant = 'nft' | 'legacy';

/** The tables of one iptables variant: the only thing of this driver that talks to the kernel. */
export interface IptablesTables {
  readonly variant: Variant;
  /** Reads tables. Throws FOREIGN_NATIVE_RULES where they hold what iptables cannot show, or what the program said. */
  read(tables: readonly TableName[]): Promise<Saved>;
  /**
   * Carries out lines of iptables-restore, each batch in one transaction, in order, stopping at the first that fails. Then reads the
   * chains that they name back from the kernel, but for those that they removed; whole tables where that is all it can.
   */
  write(batches: readonly Batch[]): Promise<Saved>;
  /** Tries every match and target that rendering uses, in chains that nothing leads to. Throws with what is missing. */
  tryOut(): Promise<void>;
}

/** One transaction of one table. */
export interface Batch {
  readonly table: TableName;
  readonly lines: readonly string[];
}

/** Seconds to wait for others that write at the same time; iptables-legacy without it waits for ever. */
const LOCK_SECONDS = '5';
const WRITE_TIMEOUT_MS = 30_000;
const DONE = '# gwctl done';
/** How long a process waits for the next change. */
const IDLE_MS = 2_000;

export class ProgramTables implements IptablesTables {
  readonly variant: Variant;
  readonly #exec: Exec;
  readonly #legacyTables: () => Promise<string>;
  /** Whether iptables-restore lists tables too, as tried in `tryOut`. */
  #lists = false;
  #conversation: Conversation | undefined;

  /** `legacyTables` reads /proc/net/ip_tables_names, which is empty where iptables-legacy was never used in this namespace. */
  constructor(options: {
    readonly variant: Variant;
    readonly exec: Exec;
    readonly legacyTables: () => Promise<string>;
  }) {
    this.variant = options.variant;
    this.#exec = options.exec;
    this.#legacyTables = options.legacyTables;
  }

  async read(tables: readonly TableName[]): Promise<Saved> {
    if (tables.length === 0) return new Map();
    // Merely running the legacy program would load its modules, and with them its hooks, into a host that does without.
    if (this.variant === 'legacy' && (await this.#legacyTables()).trim() === '') return new Map();
    const args = tables.length === 1 ? ['-t', ...tables] : [];
    const command = { program: `iptables-${this.variant}-save`, args };
    return parseSave((await this.#succeed(command)).stdout, tables);
  }

  async write(batches: readonly Batch[]): Promise<Saved> {
    if (batches.length === 0) return new Map();
    const touched = touchedChains(batches);
    const writing = batches.map(transaction).join('');
    if (!this.#lists) {
      await this.#succeed(this.#restore(writing));
      return this.read([...touched.keys()]);
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
      throw explained(error);
    }
  }

  async tryOut(): Promise<void> {
    const chain = CHAINS.detect;
    const fill = TABLES.map(
      (table): Batch => ({ table, lines: [`:${chain} - [0:0]`, ...TRIAL[table].map((rule) => `-A ${chain} ${rule}`)] }),
    );
    const clear = TABLES.map((table): Batch => ({ table, lines: [`-F ${chain}`, `-X ${chain}`] }));
    try {
      await this.#succeed(this.#restore([...fill, ...clear].map(transaction).join('')));
    } catch (error) {
      // What was tried before the failure stays until it is taken away, table by table; a table without it refuses, rightly.
      for (const batch of clear) await this.#exec.run(this.#restore(transaction(batch)));
      throw error;
    }
    const listing = TABLES.map((table) => list(table, ['OUTPUT'])).join('');
    const listed = await this.#exec.run(this.#restore(`${listing}${DONE}\n`));
    this.#lists = listed.exitCode === 0 && listed.stdout.endsWith(`${DONE}\n`) && parseList(listed.stdout).size === TABLES.length;
  }

  #restore(stdin: string): Command {
    return {
      program: `iptables-${this.variant}-restore`,
      // Verbose: it then repeats comments, by which it is known how far it got.
      args: ['--noflush', '--verbose', '-w', LOCK_SECONDS],
      stdin,
      timeoutMs: WRITE_TIMEOUT_MS,
    };
  }

  async #succeed(command: Command): Promise<Finished> {
    try {
      return await mustRun(this.#exec, command);
    } catch (error) {
      throw explained(error);
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

function explained(error: unknown): unknown {
  if (!(error instanceof AppError) || error.reason !== 'COMMAND_FAILED') return error;
  const incompatible = /table [`'](\w+)' is incompatible/i.exec(error.message)?.[1];
  if (incompatible !== undefined) return foreignNativeRules(incompatible);
  // Exit code 4: somebody else holds the lock or changed the tables meanwhile; another attempt is worth it.
  if (error.metadata.exitCode !== '4') return error;
  return new AppError({
    code: 'UNAVAILABLE',
    reason: 'TABLES_BUSY',
    message: `another program was changing the iptables tables for longer than ${LOCK_SECONDS} s; gwctl tries again`,
    cause: error,
  });
}
