import { isMissing, type Sysctl, type SysctlRecord } from './sysctl.js';
import { heldAt, isHeld } from './sysctl-keys.js';

/** Kernel parameters that are held at a value for as long as forwards need it, and then go back to what they were. */
export class SysctlPins {
  readonly #sysctl: Sysctl;
  readonly #record: SysctlRecord;

  constructor(options: { readonly sysctl: Sysctl; readonly record: SysctlRecord }) {
    this.#sysctl = options.sysctl;
    this.#record = options.record;
  }

  /** What these are, and those that we hold; without those that there are not. */
  async read(keys: Iterable<string>): Promise<PinnedSysctls> {
    const held = (await this.#record.keys()).filter(isHeld);
    const values = new Map<string, string>();
    for (const key of new Set([...keys, ...held])) {
      const value = await this.#value(key);
      if (value !== undefined) values.set(key, value);
    }
    return { values, held: new Set(held) };
  }

  /** Notes what it was, and sets it; nothing where it is so already, or there is no such parameter (any more). */
  async pin(key: string): Promise<void> {
    const wanted = heldAt(key);
    const before = await this.#value(key);
    if (before === undefined || before === wanted) return;
    await this.#record.keep(key, before);
    await this.#sysctl.write(key, wanted);
  }

  /** Back to what it was before us; nothing where it was not ours. */
  async restore(key: string): Promise<void> {
    const before = await this.#record.before(key, true);
    if (before !== undefined && (await this.#value(key)) !== undefined) await this.#sysctl.write(key, before);
    await this.#record.forget(key);
  }

  async #value(key: string): Promise<string | undefined> {
    try {
      return await this.#sysctl.read(key);
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }
}

export interface PinnedSysctls {
  readonly values: ReadonlyMap<string, string>;
  /** Those that we changed. */
  readonly held: ReadonlySet<string>;
}
