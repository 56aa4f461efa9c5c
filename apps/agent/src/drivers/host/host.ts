import { AppError } from '@gwctl/shared/errors/app-error';
import type { BridgedTraffic } from '../../system/bridged-traffic.js';
import type { ConntrackRoom } from '../../system/conntrack-room.js';
import type { InterfaceForwarding } from '../../system/interface-forwarding.js';
import type { KernelModules } from '../../system/kernel-modules.js';
import { interfaceKey } from '../../system/sysctl-keys.js';
import type { SysctlPins } from '../../system/sysctl-pins.js';
import type { AddressOn, VirtualAddresses } from '../../system/virtual-addresses.js';
import type { ForeignNatReader } from './foreign-nat.js';
import { FTP_MODULES, type HostObserved, type HostTroubles } from './observe.js';
import type { HostStep } from './steps.js';

/** The host's parts that forwards depend on beside rules. */
export interface HostParts {
  readonly addresses: VirtualAddresses;
  readonly sysctls: Pick<SysctlPins, 'read' | 'pin' | 'restore'>;
  readonly modules: KernelModules;
  readonly room: { read(): Promise<ConntrackRoom | undefined> };
  readonly foreign: ForeignNatReader;
  readonly interfaceForwarding: InterfaceForwarding;
  readonly bridgedTraffic: BridgedTraffic;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/** Reads and changes the host. What fails is remembered and told; it never keeps rules from being in place. */
export class Host {
  readonly #parts: HostParts;
  readonly #addresses = new Map<string, string>();
  readonly #modules = new Map<string, string>();
  readonly #sysctls = new Map<string, string>();
  #announcing: string | undefined;

  constructor(parts: HostParts) {
    this.#parts = parts;
  }

  async observe(): Promise<HostObserved> {
    const { addresses, room, foreign, interfaceForwarding, bridgedTraffic } = this.#parts;
    const seen = await addresses.read();
    const [sysctls, missingModules, free, others] = await Promise.all([
      this.#sysctlsOn(seen.addresses),
      this.#missingModules(),
      room.read(),
      foreign.read(),
    ]);
    return {
      at: this.#parts.now(),
      addresses: seen.addresses,
      sysctls,
      missingModules,
      notForwarding: interfaceForwarding(),
      bridged: bridgedTraffic(),
      ...(free ? { room: free } : {}),
      foreign: others,
      troubles: this.#troubles(seen.trouble),
      fresh: true,
    };
  }

  /** What is known after steps were carried out: that alone is read back which they changed. */
  async after(before: HostObserved, steps: readonly HostStep[]): Promise<HostObserved> {
    const changed = new Set(steps.map((s) => s.kind));
    const touched = changed.has('host-add-addresses') || changed.has('host-remove-addresses');
    const seen = touched ? await this.#parts.addresses.read() : undefined;
    const addresses = seen?.addresses ?? before.addresses;
    return {
      ...before,
      addresses,
      ...(changed.has('host-sysctls') ? { sysctls: await this.#sysctlsOn(addresses) } : {}),
      ...(changed.has('host-modules') ? { missingModules: await this.#missingModules() } : {}),
      troubles: this.#troubles(seen ? seen.trouble : before.troubles.record),
      fresh: false,
    };
  }

  async carryOut(step: HostStep): Promise<void> {
    const { addresses, sysctls, modules } = this.#parts;
    switch (step.kind) {
      case 'host-modules':
        for (const name of step.names) note(this.#modules, name, await modules.load(name));
        return;
      case 'host-remove-addresses':
        return noteAll(this.#addresses, step.addresses, await addresses.remove(step.addresses));
      case 'host-add-addresses':
        return this.#add(step.addresses);
      case 'host-sysctls':
        for (const key of step.keys)
          note(this.#sysctls, key, await failureOf(step.to === 'held' ? sysctls.pin(key) : sysctls.restore(key)));
        return;
    }
  }

  /** Takes back everything of ours. Throws at the end where something stayed. */
  async cleanUp(): Promise<void> {
    const { addresses, sysctls } = this.#parts;
    const ours = (await addresses.read()).addresses.filter((a) => a.ours);
    const failed = [...(await addresses.remove(ours))].map(([address, why]) => `address ${address}: ${why}`);
    for (const key of (await sysctls.read([])).held) {
      // What forwarding needs goes with it.
      if (!key.endsWith('.send_redirects')) continue;
      const why = await failureOf(sysctls.restore(key));
      if (why !== undefined) failed.push(`${key}: ${why}`);
    }
    for (const known of [this.#addresses, this.#modules, this.#sysctls]) known.clear();
    if (failed.length === 0) return;
    const message = `clean-up left something of ours behind: ${failed.join('; ').slice(0, 400)}`;
    throw new AppError({ code: 'ABORTED', reason: 'HOST_NOT_CLEAN', message });
  }

  async #add(wanted: readonly AddressOn[]): Promise<void> {
    const { addresses } = this.#parts;
    const failed = await addresses.add(wanted);
    noteAll(this.#addresses, wanted, failed);
    await this.announce(wanted.filter((a) => !failed.has(a.address.text)));
  }

  /** Tells the neighbours. */
  async announce(added: readonly AddressOn[]): Promise<void> {
    if (added.length > 0) this.#announcing = await failureOf(this.#parts.addresses.announce(added));
  }

  #sysctlsOn(addresses: readonly AddressOn[]) {
    const names = new Set(addresses.flatMap((a) => (a.address.family === 4 && a.interface !== 'lo' ? [a.interface] : [])));
    return this.#parts.sysctls.read(['all', ...names].map((name) => interfaceKey(4, name, 'send_redirects')));
  }

  async #missingModules(): Promise<string[]> {
    const present = await Promise.all(FTP_MODULES.map((name) => this.#parts.modules.present(name)));
    return FTP_MODULES.filter((_, i) => !present[i]);
  }

  #troubles(record: string | undefined): HostTroubles {
    return {
      addresses: new Map(this.#addresses),
      modules: new Map(this.#modules),
      sysctls: new Map(this.#sysctls),
      ...(record === undefined ? {} : { record }),
      ...(this.#announcing === undefined ? {} : { announcing: this.#announcing }),
    };
  }
}

async function failureOf(doing: Promise<void>): Promise<string | undefined> {
  try {
    await doing;
    return undefined;
  } catch (error) {
    if (error instanceof AppError) return error.message;
    throw error;
  }
}

function note(known: Map<string, string>, name: string, trouble: string | undefined): void {
  if (trouble === undefined) known.delete(name);
  else known.set(name, trouble);
}

function noteAll(known: Map<string, string>, addresses: readonly AddressOn[], failed: ReadonlyMap<string, string>): void {
  for (const { address } of addresses) note(known, address.text, failed.get(address.text));
}
