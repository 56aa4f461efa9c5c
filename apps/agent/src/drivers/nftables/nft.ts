import type { Family } from '@gwctl/shared/domain/ip';
import { AppError } from '@gwctl/shared/errors/app-error';
import { type Command, commandFailed, type Exec, type Finished, mustRun, type Ready } from '../../system/exec.js';
import { isList, isObject, type Json } from '../../system/nft-json.js';
import { AT_ONCE } from '../../system/whole-input.js';
import type { Count } from './counters.js';
import type { ElementReader } from './element-reader.js';
import { type LayoutOptions, layoutLines, removalLines, SCRATCH, TABLE, tableName } from './layout.js';
import { DORMANT, type Expected, type Listing, NOTHING_EXPECTED, Patching, parseListing, saysDormant } from './listing.js';
import { NftConversation } from './nft-conversation.js';
import { eachObject } from './nft-objects.js';
import type { Reference } from './observe.js';
import { SETS, type SetSpec, setOf, WORDS } from './sets.js';

/** What was read, at which of the kernel's counts of changes. */
export interface Reading {
  /** Undefined where there is no such table. */
  readonly listings: Readonly<Record<Family, Listing | undefined>>;
  /** Undefined where it is unknown. */
  readonly generation?: number;
}

/** What works here, found by trying. */
export interface Abilities extends LayoutOptions {
  /** Whether there is the table for IPv6. */
  readonly ipv6: boolean;
  /** Why something does not work. */
  readonly troubles: readonly string[];
}

/** The tables `ip gwctl` and `ip6 gwctl` in the kernel: the only thing of this driver that talks to nft about rules. */
export interface NftTable {
  /** `expected` is asked anew for each attempt. */
  read(families: readonly Family[], expected: () => Expected): Promise<Reading>;
  /** Carries out lines of nft's language as one transaction: all or nothing. */
  write(lines: readonly string[]): Promise<void>;
  /**
   * The kernel's count of committed changes of nftables, in all tables of this network namespace. Every transaction makes it one more.
   * Undefined where it is unknown.
   */
  generation(): number | undefined;
  /** Our static part as this nft prints it, loaded into a scratch table without hooks. Asked once. */
  reference(family: Family, layout: LayoutOptions): Promise<Reference>;
  /** What the elements of sets counted that have a comment. */
  counters(family: Family, sets: readonly SetSpec[]): Promise<ReadonlyMap<SetSpec, readonly Count[]>>;
  /** Has the kernel check all that the layout uses, hooks included, without carrying it out. Throws where IPv4 does not work. */
  tryOut(): Promise<Abilities>;
}

const WRITE = { program: 'nft', args: ['-f', '-'], timeoutMs: 120_000 };
/** Milliseconds after a transaction until another nft is started: whoever waits for the first hears of it before. */
const AHEAD_MS = 15;
const READ_TIMEOUT_MS = 60_000;
const MAX_OUTPUT_BYTES = 1 << 28;
/** A listing that others' changes kept interrupting is good all the same, but at no known generation. */
const ATTEMPTS = 3;

/** Writes text and reads JSON: the JSON input of nft 1.0.6 crashes on the maps that the layout uses. */
export class ProgramNft implements NftTable {
  readonly generation: () => number | undefined;
  readonly #exec: Exec;
  readonly #elements: ElementReader | undefined;
  readonly #conversation: NftConversation;
  readonly #references = new Map<string, Promise<Reference>>();
  /** Waits for the next transaction. */
  #ready: Ready | undefined;

  /** `elements`: reads them from the kernel itself; undefined where that does not work. */
  constructor(options: {
    readonly exec: Exec;
    readonly generation: () => number | undefined;
    readonly elements?: ElementReader | undefined;
  }) {
    this.#exec = options.exec;
    this.generation = options.generation;
    this.#elements = options.elements;
    this.#conversation = new NftConversation(options);
  }

  async read(families: readonly Family[], expected: () => Expected): Promise<Reading> {
    for (let attempt = 1; ; attempt++) {
      const before = this.generation();
      const mine = expected();
      const listings: Record<Family, Listing | undefined> = { 4: undefined, 6: undefined };
      for (const family of families) listings[family] = await this.#listOurs(family, mine);
      const settled = before !== undefined && before === this.generation();
      if (settled) return { listings, generation: before };
      if (before === undefined || attempt === ATTEMPTS) return { listings };
    }
  }

  async write(lines: readonly string[]): Promise<void> {
    if (await this.#conversation.write(lines)) return;
    const finished = await this.#carriedOut(`${lines.join('\n')}\n`);
    if (finished.exitCode === 0) return;
    // EMSGSIZE: only root of the host itself may exceed net.core.wmem_max with one transaction (SO_SNDBUFFORCE, netlink(7)).
    if (finished.stderr.includes('Message too long'))
      throw new AppError({
        code: 'FAILED_PRECONDITION',
        reason: 'TRANSACTION_TOO_LARGE',
        message: `the kernel takes no transaction of ${lines.length} lines from this container; raise net.core.wmem_max on its host, or forward fewer ports as ranges`,
      });
    throw commandFailed(WRITE, finished);
  }

  /**
   * By an nft that was started ahead and has only waited for its input: starting one takes longer than the table of a first forward. It
   * needs less than a megabyte, and with an empty input, as at the end of this process, does nothing.
   */
  async #carriedOut(stdin: string): Promise<Finished> {
    const ready = this.#ready?.alive && Buffer.byteLength(stdin) <= AT_ONCE ? this.#ready : undefined;
    if (ready) this.#ready = undefined;
    try {
      return await (ready ? ready.finish(stdin) : this.#exec.run({ ...WRITE, stdin }));
    } finally {
      setTimeout(() => this.#startAhead(), AHEAD_MS).unref();
    }
  }

  #startAhead(): void {
    if (this.#ready?.alive) return;
    try {
      this.#ready = this.#exec.ready(WRITE);
    } catch {
      // The next transaction starts one by itself, and says why it cannot.
      this.#ready = undefined;
    }
  }

  reference(family: Family, layout: LayoutOptions): Promise<Reference> {
    const name = `${family} ${layout.ftp}`;
    const known = this.#references.get(name);
    if (known) return known;
    const learnt = this.#learn(family, layout).catch((error: unknown) => {
      this.#references.delete(name);
      throw error;
    });
    this.#references.set(name, learnt);
    return learnt;
  }

  async counters(family: Family, sets: readonly SetSpec[]): Promise<ReadonlyMap<SetSpec, readonly Count[]>> {
    const found = new Map<SetSpec, readonly Count[]>();
    for (const set of sets) {
      const counts = this.#elements ? await countsIn(this.#elements, set) : await this.#printedCounts(family, set);
      if (counts.length > 0) found.set(set, counts);
    }
    return found;
  }

  async #printedCounts(family: Family, { name, data }: SetSpec): Promise<readonly Count[]> {
    const args = ['-j', 'list', data === undefined ? 'set' : 'map', ...tableName(family).split(' '), name];
    const command = { program: 'nft', args, timeoutMs: READ_TIMEOUT_MS };
    const finished = await this.#exec.run(command);
    if (/No such file or directory/.test(finished.stderr)) return [];
    if (finished.exitCode !== 0) throw commandFailed(command, finished);
    return [...eachObject(finished.stdout)].flatMap(([, { elem }]) => (isList(elem) ? elem.flatMap(countOf) : []));
  }

  async tryOut(): Promise<Abilities> {
    const troubles: string[] = [];
    const works = async (family: Family, ftp: boolean): Promise<string | undefined> => {
      try {
        await this.#check(family, { ftp });
        return undefined;
      } catch (error) {
        return AppError.from(error).message;
      }
    };
    const helper = await works(4, true);
    if (helper !== undefined) {
      await this.#check(4, { ftp: false });
      troubles.push(`without the FTP helper: ${helper}`);
    }
    const layout = { ftp: helper === undefined };
    const six = await works(6, layout.ftp);
    if (six !== undefined) troubles.push(`without IPv6: ${six}`);
    await this.reference(4, layout);
    if (six === undefined) await this.reference(6, layout);
    return { ...layout, ipv6: six === undefined, troubles };
  }

  async #check(family: Family, layout: LayoutOptions): Promise<void> {
    const lines = [...removalLines(family, SCRATCH), ...layoutLines(family, { ...layout, table: SCRATCH, closed: true })];
    await mustRun(this.#exec, { program: 'nft', args: ['--check', '-f', '-'], stdin: `${lines.join('\n')}\n` });
  }

  async #learn(family: Family, layout: LayoutOptions): Promise<Reference> {
    const lines = layoutLines(family, { ...layout, table: SCRATCH, trial: true, closed: true });
    await this.write([...removalLines(family, SCRATCH), ...lines]);
    try {
      const listing = await this.#list(family, SCRATCH, NOTHING_EXPECTED);
      if (listing) return listing;
    } finally {
      await this.write(removalLines(family, SCRATCH));
    }
    throw new AppError({
      code: 'ABORTED',
      reason: 'NOT_AS_WRITTEN',
      message: `the table ${tableName(family, SCRATCH)} was gone as soon as it was written; another program removes what it does not know`,
    });
  }

  /** Of a large table nft says only what is static: it takes 30 microseconds for each element, and half a kilobyte. */
  async #listOurs(family: Family, expected: Expected): Promise<Listing | undefined> {
    const reader = this.#elements;
    if (!reader || (expected.size < LARGE && !(await isLarge(reader, family)))) return this.#list(family, TABLE, expected);
    const printed = await this.#terse(family);
    if (printed === undefined) return this.#list(family, TABLE, expected);
    const elements = new Patching(family, expected);
    for (const set of SETS[family]) {
      const { take, end } = elements.begin(set);
      await reader.each(set, ({ key, suffix }) => take(key, suffix));
      end();
    }
    return parseListing(printed, { family, name: TABLE, expected, elements });
  }

  /**
   * Of all that nft 1.0.6 can list, only the whole ruleset comes without reading every element first. Undefined where it cannot, which
   * may be for any other table's sake.
   */
  async #terse(family: Family): Promise<string | undefined> {
    try {
      const args = ['-j', '--terse', 'list', 'ruleset', WORDS[family].ip];
      const { exitCode, stdout } = await this.#exec.run({ program: 'nft', args, timeoutMs: READ_TIMEOUT_MS });
      // A table with flags breaks the text off.
      return exitCode === 0 && stdout.trimEnd().endsWith(']}') ? stdout : undefined;
    } catch {
      return undefined;
    }
  }

  async #list(family: Family, table: string, expected: Expected): Promise<Listing | undefined> {
    const command: Command = {
      program: 'nft',
      args: ['-j', 'list', 'table', ...tableName(family, table).split(' ')],
      timeoutMs: READ_TIMEOUT_MS,
      maxOutputBytes: MAX_OUTPUT_BYTES,
    };
    try {
      const finished = await this.#exec.run(command);
      if (finished.exitCode === 0) return parseListing(finished.stdout, { family, name: table, expected });
      if (/No such file or directory/.test(finished.stderr)) return undefined;
      throw commandFailed(command, finished);
    } catch (error) {
      if (await this.#isDormant(family, table)) return DORMANT;
      throw error;
    }
  }

  async #isDormant(family: Family, table: string): Promise<boolean> {
    const args = ['--terse', 'list', 'table', ...tableName(family, table).split(' ')];
    const { exitCode, stdout } = await this.#exec.run({ program: 'nft', args });
    return exitCode === 0 && saysDormant(stdout);
  }
}

/** Elements of one set from which a table counts as large. */
const LARGE = 2000;

async function isLarge(reader: ElementReader, family: Family): Promise<boolean> {
  let count = 0;
  await reader.each(setOf(family, 'own-at'), () => count++, { counts: true });
  return count >= LARGE;
}

async function countsIn(reader: ElementReader, set: SetSpec): Promise<readonly Count[]> {
  const counts: Count[] = [];
  await reader.each(set, ({ comment, counter }) => counter && counts.push({ comment, ...counter }), { counts: true });
  return counts;
}

function countOf(element: Json): Count[] {
  const key = isList(element) ? element[0] : element;
  const inner = isObject(key) ? key.elem : undefined;
  if (!isObject(inner) || !isObject(inner.counter) || typeof inner.comment !== 'string') return [];
  return [{ comment: inner.comment, packets: Number(inner.counter.packets), bytes: Number(inner.counter.bytes) }];
}
