import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { parseIp } from '@gwctl/shared/domain/ip';
import { err, ok, quote, type Result } from '@gwctl/shared/domain/result';

/** One address on one interface. */
export interface Held {
  /** Canonical. */
  readonly address: string;
  readonly interface: string;
}

/** Remembers, on disk, which addresses we gave to the host, so that no other is ever taken from it. */
export interface AddressRecord {
  /** What was added since the host started: whatever is there from before came back by the host's own doing. */
  held(): Promise<readonly Held[]>;
  /** Notes addresses, before they are added. */
  keep(held: readonly Held[]): Promise<void>;
  forget(held: readonly Held[]): Promise<void>;
  /** Why what was remembered could not be read; undefined where all is well. */
  trouble(): string | undefined;
}

interface Kept {
  readonly boot: string;
  readonly addresses: readonly Held[];
}

export class FileAddressRecord implements AddressRecord {
  readonly #file: string;
  readonly #bootId: () => Promise<string>;
  #held: readonly Held[] | undefined;
  #trouble: string | undefined;

  /** `file`: for instance `addresses.json` in the state directory. `bootId` (default: the kernel's) changes with each start of the host. */
  constructor(options: { readonly file: string; readonly bootId?: () => Promise<string> }) {
    this.#file = options.file;
    this.#bootId = options.bootId ?? (async () => (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim());
  }

  async held(): Promise<readonly Held[]> {
    this.#held ??= await this.#load();
    return this.#held;
  }

  async keep(held: readonly Held[]): Promise<void> {
    const all = await this.held();
    const known = new Set(all.map(keyOf));
    const more = held.filter((h) => !known.has(keyOf(h)));
    if (more.length > 0) await this.#store([...all, ...more]);
  }

  async forget(held: readonly Held[]): Promise<void> {
    const all = await this.held();
    const gone = new Set(held.map(keyOf));
    const rest = all.filter((h) => !gone.has(keyOf(h)));
    if (rest.length < all.length) await this.#store(rest);
  }

  trouble(): string | undefined {
    return this.#trouble;
  }

  async #load(): Promise<readonly Held[]> {
    let text: string;
    try {
      text = await readFile(this.#file, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    }
    const parsed = parseHeld(text);
    // Without the record, an address counts as ours only where the kernel shows our mark on it.
    this.#trouble = parsed.ok ? undefined : `${this.#file} ${parsed.error}`;
    return parsed.ok && parsed.value.boot === (await this.#bootId()) ? parsed.value.addresses : [];
  }

  async #store(addresses: readonly Held[]): Promise<void> {
    this.#held = undefined;
    if (addresses.length === 0) await rm(this.#file, { force: true });
    else {
      await mkdir(dirname(this.#file), { recursive: true });
      const next = `${this.#file}.new`;
      const file = await open(next, 'w', 0o600);
      await file.writeFile(`${JSON.stringify({ boot: await this.#bootId(), addresses } satisfies Kept, undefined, 2)}\n`);
      await file.sync();
      await file.close();
      await rename(next, this.#file);
    }
    this.#trouble = undefined;
    this.#held = addresses;
  }
}

export const keyOf = ({ address, interface: name }: Held): string => `${address} ${name}`;

export function parseHeld(text: string): Result<Kept, string> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return err(`is not JSON (${error instanceof Error ? error.message : String(error)})`);
  }
  const { boot, addresses } = (value ?? {}) as { boot?: unknown; addresses?: unknown };
  if (typeof boot !== 'string' || !Array.isArray(addresses)) return err('holds no boot id with a list of addresses');
  const held: Held[] = [];
  for (const entry of addresses as unknown[]) {
    const { address, interface: name } = (entry ?? {}) as { address?: unknown; interface?: unknown };
    const parsed = typeof address === 'string' ? parseIp(address) : undefined;
    if (!parsed?.ok || typeof name !== 'string' || !/^[^\s/]{1,15}$/.test(name))
      return err(`holds an entry that gwctl did not write: ${quote(JSON.stringify(entry))}`);
    held.push({ address: parsed.value.text, interface: name });
  }
  return ok({ boot, addresses: held });
}
