import { AppError } from '@gwctl/shared/errors/app-error';
import { type Conversation, type Exec, mustRun } from '../../system/exec.js';
import { TABLE } from './layout.js';

/** Idle for so long, the program is ended. */
const IDLE_MS = 60_000;
const TIMEOUT_MS = 10_000;
/** Longer ones do not fit into a pipe at once, and starting a process then no longer matters. */
const MAX_CHARACTERS = 16_000;
/** Says one line about something that nft knows by itself, when all before is done. */
const SENTINEL = 'describe ifname';

/**
 * A program `nft` that is talked to, for small changes of elements and for a table that goes: starting one costs 5 ms, and many times
 * that for an agent of some hundred megabytes; telling it half a millisecond. nft does not say whether it worked, but the kernel's count
 * of changes does.
 */
export class NftConversation {
  readonly #exec: Exec;
  readonly #generation: () => number | undefined;
  #conversation: Conversation | undefined;
  /** What nft prints for the sentinel; asked once, because versions word it differently. */
  #answer: string | undefined;
  /** Why it is not tried again. */
  #unusable = false;

  constructor(options: { readonly exec: Exec; readonly generation: () => number | undefined }) {
    this.#exec = options.exec;
    this.#generation = options.generation;
  }

  /** Whether the kernel carried something out since. False: nothing happened, so that it can be done in another way. */
  async write(lines: readonly string[]): Promise<boolean> {
    const before = this.#generation();
    if (this.#unusable || before === undefined || !lines.every(isSmall)) return false;
    // One line is one transaction.
    const text = lines.join('; ');
    if (text.length > MAX_CHARACTERS) return false;
    try {
      this.#answer ??= await this.#learn();
      if (!this.#conversation?.alive)
        this.#conversation = this.#exec.converse({ program: 'nft', args: ['-i'], timeoutMs: TIMEOUT_MS }, IDLE_MS);
      await this.#conversation.say(`${text}\n${SENTINEL}\n`, this.#answer);
    } catch (error) {
      // Not every nft is built with it; what is wrong with the change itself the other way tells.
      if (AppError.from(error).reason !== 'TIMED_OUT') this.#unusable = true;
    }
    return this.#generation() !== before;
  }

  async #learn(): Promise<string> {
    const { stdout } = await mustRun(this.#exec, { program: 'nft', args: SENTINEL.split(' ') });
    return stdout.trimEnd().split('\n').at(-1) ?? '';
  }
}

const SMALL = new RegExp(`^(?:add|delete) (?:element |table ip6? ${TABLE}$)`);
const isSmall = (line: string): boolean => SMALL.test(line);
