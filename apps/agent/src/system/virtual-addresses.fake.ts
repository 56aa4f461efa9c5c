import { type AddressOn, nameOf, type SeenAddress, type SeenAddresses, type VirtualAddresses } from './virtual-addresses.js';

/** The host's addresses in memory. */
export class MemoryAddresses implements VirtualAddresses {
  addresses: SeenAddress[];
  /** Addresses that cannot be added, and why. */
  readonly refused = new Map<string, string>();
  readonly announced: string[] = [];
  /** In order: what was added, removed, announced. */
  readonly log: string[] = [];

  constructor(addresses: readonly SeenAddress[] = []) {
    this.addresses = [...addresses];
  }

  async read(): Promise<SeenAddresses> {
    return { addresses: [...this.addresses] };
  }

  async add(wanted: readonly AddressOn[]): Promise<ReadonlyMap<string, string>> {
    const failed = new Map<string, string>();
    for (const one of wanted) {
      const why = this.refused.get(one.address.text);
      if (why !== undefined) failed.set(one.address.text, why);
      else if (!this.addresses.some((a) => nameOf(a) === nameOf(one))) {
        this.addresses.push({ ...one, prefix: one.address.family === 4 ? 32 : 128, ours: true });
        this.log.push(`add ${nameOf(one)}`);
      }
    }
    return failed;
  }

  async remove(unwanted: readonly AddressOn[]): Promise<ReadonlyMap<string, string>> {
    const names = new Set(unwanted.map(nameOf));
    for (const a of this.addresses) if (a.ours && names.has(nameOf(a))) this.log.push(`remove ${nameOf(a)}`);
    this.addresses = this.addresses.filter((a) => !a.ours || !names.has(nameOf(a)));
    return new Map();
  }

  async announce(addresses: readonly AddressOn[]): Promise<void> {
    for (const one of addresses) {
      this.announced.push(nameOf(one));
      this.log.push(`announce ${nameOf(one)}`);
    }
  }
}
