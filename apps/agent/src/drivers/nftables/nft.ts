import { AppError } from '@gwctl/shared/errors/app-error';
import { type Command, commandFailed, type Exec, mustRun } from '../../system/exec.js';
import { layoutLines, removalLines, SCRATCH, TABLE } from './layout.js';
import { DORMANT, type Listing, parseListing, saysDormant } from './listing.js';
import type { Reference } from './observe.js';

/** What was read, at which of the kernel's counts of changes. */
export interface Reading {
  /** Undefined where there is no such table. */
  readonly listing?: Listing;
  /** Undefined where it is unknown. */
  readonly generation?: number;
}

/** The table `ip gwctl` in the kernel: the only thing of this driver that talks to nft about rules. */
export interface NftTable {
  read(): Promise<Reading>;
  /** Carries out lines of nft's language as one transaction: all or nothing. */
  write(lines: readonly string[]): Promise<void>;
  /**
   * The kernel's count of committed changes of nftables, in all tables of this network namespace. Every transaction makes it one more.
   * Undefined where it is unknown.
   */
  generation(): number | undefined;
  /** Our static part as this nft prints it, loaded into a scratch table without hooks. Asked once. */
  reference(): Promise<Reference>;
  /** Has the kernel check all that the layout uses, hooks included, without carrying it out. Throws with what is missing. */
  tryOut(): Promise<void>;
}

const WRITE_TIMEOUT_MS = 60_000;
const READ_TIMEOUT_MS = 30_000;
/** A listing that others' changes kept interrupting is good all the same, but at no known generation. */
const ATTEMPTS = 3;

/** Writes text and reads JSON: the JSON input of nft 1.0.6 crashes on the maps that the layout uses. */
export class ProgramNft implements NftTable {
  readonly generation: () => number | undefined;
  readonly #exec: Exec;
  #reference: Promise<Reference> | undefined;

  constructor(options: { readonly exec: Exec; readonly generation: () => number | undefined }) {
    this.#exec = options.exec;
    this.generation = options.generation;
  }

  async read(): Promise<Reading> {
    for (let attempt = 1; ; attempt++) {
      const before = this.generation();
      const listing = await this.#list(TABLE);
      const settled = before !== undefined && before === this.generation();
      if (settled) return { ...(listing ? { listing } : {}), generation: before };
      if (before === undefined || attempt === ATTEMPTS) return listing ? { listing } : {};
    }
  }

  async write(lines: readonly string[]): Promise<void> {
    const command = { program: 'nft', args: ['-f', '-'], stdin: `${lines.join('\n')}\n`, timeoutMs: WRITE_TIMEOUT_MS };
    const finished = await this.#exec.run(command);
    if (finished.exitCode !== 0) throw commandFailed(command, finished);
  }

  reference(): Promise<Reference> {
    this.#reference ??= this.#learn().catch((error: unknown) => {
      this.#reference = undefined;
      throw error;
    });
    return this.#reference;
  }

  async tryOut(): Promise<void> {
    await mustRun(this.#exec, {
      program: 'nft',
      args: ['--check', '-f', '-'],
      stdin: `${[...removalLines(SCRATCH), ...layoutLines(SCRATCH, { closed: true })].join('\n')}\n`,
    });
    await this.reference();
  }

  async #learn(): Promise<Reference> {
    await this.write([...removalLines(SCRATCH), ...layoutLines(SCRATCH, { trial: true, closed: true })]);
    try {
      const listing = await this.#list(SCRATCH);
      if (listing) return listing;
    } finally {
      await this.write(removalLines(SCRATCH));
    }
    throw new AppError({
      code: 'ABORTED',
      reason: 'NOT_AS_WRITTEN',
      message: `the table ip ${SCRATCH} was gone as soon as it was written; another program removes what it does not know`,
    });
  }

  async #list(table: string): Promise<Listing | undefined> {
    const command: Command = { program: 'nft', args: ['-j', 'list', 'table', 'ip', table], timeoutMs: READ_TIMEOUT_MS };
    try {
      const finished = await this.#exec.run(command);
      if (finished.exitCode === 0) return parseListing(finished.stdout, table);
      if (/No such file or directory/.test(finished.stderr)) return undefined;
      throw commandFailed(command, finished);
    } catch (error) {
      if (await this.#isDormant(table)) return DORMANT;
      throw error;
    }
  }

  async #isDormant(table: string): Promise<boolean> {
    const { exitCode, stdout } = await this.#exec.run({ program: 'nft', args: ['--terse', 'list', 'table', 'ip', table] });
    return exitCode === 0 && saysDormant(stdout);
  }
}
