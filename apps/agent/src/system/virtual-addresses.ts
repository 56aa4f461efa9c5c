import type { IpAddress } from '@gwctl/shared/domain/ip';
import { AppError } from '@gwctl/shared/errors/app-error';
import type { HostAddress } from '../planner/types.js';
import { type AddressKernel, isMarkable, type LinkEntry } from './address-kernel.js';
import { type AddressRecord, type Held, keyOf } from './address-record.js';
import type { LinkReader } from './links.js';

/** An address and the interface that is to have it. */
export interface AddressOn {
  readonly address: IpAddress;
  readonly interface: string;
}

/** An address that the host has. */
export interface SeenAddress extends AddressOn {
  readonly prefix: number;
  /** We gave it to the host. */
  readonly ours: boolean;
}

export interface SeenAddresses {
  readonly addresses: readonly SeenAddress[];
  /** Why it is not entirely known which are ours. */
  readonly trouble?: string;
}

/** Addresses that the host has only because forwards listen on them. */
export interface VirtualAddresses {
  /** All addresses of the host. */
  read(): Promise<SeenAddresses>;
  /** Gives them to the host; those that it has already stay whose they are. The answer: why which could not be added, by address. */
  add(wanted: readonly AddressOn[]): Promise<ReadonlyMap<string, string>>;
  /** Takes ours away; never an address that the host has by itself. The answer as of {@link add}. */
  remove(unwanted: readonly AddressOn[]): Promise<ReadonlyMap<string, string>>;
  /** Tells the neighbours, now and twice more a second apart, whose these are. Throws where they cannot be told. */
  announce(addresses: readonly AddressOn[]): Promise<void>;
}

/** RFC 5227 asks for two announcements; as frames get lost, one more. RFC 4861 allows up to three. */
const REPETITIONS = 2;
/** Milliseconds; RFC 4861's RetransTimer. */
const INTERVAL = 1000;

export class HostVirtualAddresses implements VirtualAddresses {
  readonly #kernel: AddressKernel;
  readonly #record: AddressRecord;
  readonly #later: (ms: number, run: () => void) => void;
  /** What is still ours to announce. */
  readonly #announced = new Set<string>();

  /** `later`: runs something after so many milliseconds. Default: a timer that does not keep the process alive. */
  constructor(options: {
    readonly kernel: AddressKernel;
    readonly record: AddressRecord;
    readonly later?: (ms: number, run: () => void) => void;
  }) {
    this.#kernel = options.kernel;
    this.#record = options.record;
    this.#later = options.later ?? ((ms, run) => setTimeout(run, ms).unref());
  }

  async read(): Promise<SeenAddresses> {
    const [{ links, addresses }, held] = await Promise.all([this.#kernel.list(), this.#record.held()]);
    const names = new Map(links.map((l) => [l.index, l.name]));
    const ours = new Set(held.map(keyOf));
    const seen = addresses.flatMap(({ link, address, prefix, marked }): SeenAddress[] => {
      const name = names.get(link);
      if (name === undefined) return [];
      const whole = prefix === (address.family === 4 ? 32 : 128);
      const known = ours.has(`${address.text} ${name}`) && !isMarkable(address.family, name);
      return [{ address, prefix, interface: name, ours: whole && (marked || known) }];
    });
    const trouble = this.#record.trouble();
    return { addresses: seen, ...(trouble === undefined ? {} : { trouble }) };
  }

  async add(wanted: readonly AddressOn[]): Promise<ReadonlyMap<string, string>> {
    const there = new Set((await this.read()).addresses.map(nameOf));
    const missing = wanted.filter((w) => !there.has(nameOf(w)));
    if (missing.length === 0) return new Map();
    await this.#forgetLost(there);
    // Noted before it is done, so that a crash in between can still be undone.
    await this.#record.keep(missing.map(heldOf));
    const failed = await this.#each(missing, (link, address) => this.#kernel.add(link, address));
    await this.#record.forget(missing.filter((m) => failed.has(m.address.text)).map(heldOf));
    return failed;
  }

  async remove(unwanted: readonly AddressOn[]): Promise<ReadonlyMap<string, string>> {
    const names = new Set(unwanted.map(nameOf));
    for (const name of names) this.#announced.delete(name);
    const { addresses } = await this.read();
    await this.#forgetLost(new Set(addresses.map(nameOf)));
    const there = addresses.filter((a) => a.ours && names.has(nameOf(a)));
    const failed = await this.#each(there, (link, address) => this.#kernel.remove(link, address));
    await this.#record.forget(unwanted.filter((u) => !failed.has(u.address.text)).map(heldOf));
    return failed;
  }

  /** What somebody took from us is no longer ours when it comes back. */
  async #forgetLost(there: ReadonlySet<string>): Promise<void> {
    await this.#record.forget((await this.#record.held()).filter((h) => !there.has(keyOf(h))));
  }

  async announce(addresses: readonly AddressOn[]): Promise<void> {
    for (const address of addresses) this.#announced.add(nameOf(address));
    await this.#tell(addresses);
    for (let n = 1; n <= REPETITIONS; n++)
      this.#later(n * INTERVAL, () => {
        // The first one went through; a later one that does not is one lost frame more.
        void this.#tell(addresses.filter((a) => this.#announced.has(nameOf(a)))).catch(() => undefined);
      });
  }

  async #tell(addresses: readonly AddressOn[]): Promise<void> {
    if (addresses.length === 0) return;
    const links = new Map((await this.#kernel.list()).links.map((l) => [l.name, l]));
    for (const [name, own] of Map.groupBy(addresses, (a) => a.interface)) {
      const link = links.get(name);
      const announced = own.map((a) => a.address);
      if (link) this.#kernel.announce(link, announced);
    }
  }

  async #each(
    addresses: readonly AddressOn[],
    act: (link: LinkEntry, address: IpAddress) => Promise<void>,
  ): Promise<Map<string, string>> {
    const links = new Map((await this.#kernel.list()).links.map((l) => [l.name, l]));
    const failed = new Map<string, string>();
    for (const { address, interface: name } of addresses) {
      const link = links.get(name);
      try {
        if (link) await act(link, address);
        else failed.set(address.text, `there is no interface ${name}`);
      } catch (error) {
        if (!(error instanceof AppError)) throw error;
        failed.set(address.text, error.message);
      }
    }
    return failed;
  }
}

/**
 * The host's addresses and interfaces, with those marked as announced that are there only because of forwards: planning must not depend
 * on what it leads to. Asks nothing more where no address stands by itself.
 */
export function markVirtual(links: LinkReader, virtual: Pick<VirtualAddresses, 'read'>): LinkReader {
  return async () => {
    const found = await links();
    if (!found.addresses.some(isAlone)) return found;
    const ours = new Set((await virtual.read()).addresses.flatMap((a) => (a.ours ? [nameOf(a)] : [])));
    if (ours.size === 0) return found;
    return { ...found, addresses: found.addresses.map((a) => (ours.has(nameOf(a)) ? { ...a, announced: true } : a)) };
  };
}

const isAlone = ({ address, prefix, interface: name }: HostAddress): boolean =>
  prefix === (address.family === 4 ? 32 : 128) && name !== 'lo';

export const nameOf = ({ address, interface: name }: AddressOn): string => `${address.text} ${name}`;

const heldOf = ({ address, interface: name }: AddressOn): Held => ({ address: address.text, interface: name });
