import { join } from 'node:path';
import type { Family } from '@gwctl/shared/domain/ip';
import { AppError } from '@gwctl/shared/errors/app-error';
import { ProgramFilters } from '../filters/filter-programs.js';
import type { FlowTable } from '../system/conntrack.js';
import type { Exec } from '../system/exec.js';
import { type FlowTracking, flowTracking } from '../system/flow-tracking.js';
import { generationReader } from '../system/generation.js';
import { IpForwarding } from '../system/ip-forwarding.js';
import { legacyTables } from '../system/legacy-tables.js';
import type { LinkReader } from '../system/links.js';
import { ProcFlowSources } from '../system/proc-flows.js';
import { ruleWatch } from '../system/rule-watch.js';
import { FileSysctlRecord, ProcSysctl } from '../system/sysctl.js';
import { packetsUnderWay } from '../system/under-way.js';
import type { Driver, DriverName } from './driver.js';
import { HostDriver } from './host/driver.js';
import { type FoundHostParts, hostParts } from './host/parts.js';
import { type ForwardingSwitch, IptablesDriver } from './iptables/driver.js';
import { CHAIN_PREFIX, TABLES } from './iptables/layout.js';
import { ProgramForeignFilters } from './iptables/other-filters-reader.js';
import type { Saved } from './iptables/save-format.js';
import { type FamilyTables, ProgramTables, type Variant } from './iptables/tables.js';
import { NftablesDriver } from './nftables/driver.js';
import { elementReader } from './nftables/element-reader.js';
import { ProgramNft } from './nftables/nft.js';

/** Something that was found by trying; for the control plane. */
export interface FoundCapability {
  /** For instance `driver.iptables-nft`, `conntrack`, `events.nftables`. */
  readonly name: string;
  readonly supported: boolean;
  readonly detail: string;
}

export interface PartsOptions {
  readonly exec: Exec;
  readonly links: LinkReader;
  /** Where changed kernel parameters are remembered (`sysctl.json`). */
  readonly stateDir: string;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Milliseconds of a clock that only goes on. */
  readonly monotonic: () => number;
}

/** How a host uses one variant. */
export interface VariantUse {
  readonly variant: Variant;
  /** Rules of others. */
  readonly foreign: number;
  /** Chains of ours. */
  readonly ours: number;
  /** Why it cannot be used. */
  readonly obstacle?: AppError;
}

/** Counts the rules of others and the chains of ours in everything that a variant holds. */
export function countUse(saved: Saved): { readonly foreign: number; readonly ours: number } {
  const chains = [...saved.values()].flatMap((table) => [...table]);
  const foreign = chains.filter(([name]) => !name.startsWith(CHAIN_PREFIX)).flatMap(([, { rules }]) => rules);
  return {
    foreign: foreign.filter((rule) => !rule.includes(`-j ${CHAIN_PREFIX}`) && !/"gwctl:companion[:"]/.test(rule)).length,
    ours: chains.length - chains.filter(([name]) => !name.startsWith(CHAIN_PREFIX)).length,
  };
}

/** For cleaning up beside a driver that is at work: the flows go on under its rules. */
const NO_FLOWS: FlowTable = { marked: async () => [], remove: async () => 0 };

/** Forwarding of both families as drivers use it. */
type Forwardings = { readonly forwarding: ForwardingSwitch; readonly forwarding6: ForwardingSwitch };

/** Puts drivers together from the host's parts. */
export class Parts {
  readonly #options: PartsOptions;
  readonly #forwardings: Forwardings;
  readonly #tracking: FlowTracking;
  readonly #watch: ReturnType<typeof ruleWatch>;
  readonly #host: FoundHostParts;
  readonly #underWay = packetsUnderWay();

  constructor(options: PartsOptions) {
    this.#options = options;
    const { exec, links, stateDir, now, monotonic } = options;
    const record = new FileSysctlRecord({ file: join(stateDir, 'sysctl.json') });
    const sysctl = new ProcSysctl();
    this.#forwardings = {
      forwarding: new IpForwarding({ sysctl, record }),
      forwarding6: new IpForwarding({ sysctl, record, family: 6 }),
    };
    const ownAddresses = async () => new Set((await links()).addresses.map((a) => a.address.text));
    this.#tracking = flowTracking({ exec, sources: new ProcFlowSources({ ownAddresses }) });
    this.#watch = ruleWatch(exec);
    this.#host = hostParts({ exec, stateDir, sysctl, record, generation: generationReader().generation, now, monotonic });
  }

  get virtualAddresses(): FoundHostParts['parts']['addresses'] {
    return this.#host.parts.addresses;
  }

  /** With what the host needs besides rules. */
  onHost(driver: Driver): Driver {
    return new HostDriver({ inner: driver, host: this.#host.parts, watch: this.#host.watch });
  }

  iptables(variant: Variant, forwardings = this.#forwardings, table = this.#tracking.table): IptablesDriver {
    const { exec } = this.#options;
    return new IptablesDriver({
      tables: this.#tables(variant),
      ...forwardings,
      flows: table,
      filters: new ProgramForeignFilters({ exec, other: this.#tables(variant === 'nft' ? 'legacy' : 'nft'), own: variant }),
      underWay: this.#underWay,
      now: this.#options.now,
      // The kernel announces nothing of iptables-legacy.
      ...(variant === 'nft' && this.#watch.watch ? { watch: this.#watch.watch } : {}),
    });
  }

  nftables(forwardings = this.#forwardings, table = this.#tracking.table): NftablesDriver {
    const { exec, now } = this.#options;
    return new NftablesDriver({
      nft: new ProgramNft({ exec, generation: generationReader().generation, elements: elementReader() }),
      filters: this.#filters(),
      ...forwardings,
      flows: { table, live: this.#tracking.live },
      host: { now, underWay: this.#underWay, watch: this.#watch.watch },
    });
  }

  /** What agents with other drivers left on this host. Forwarding, and the flows, are the business of the driver that is at work. */
  async cleanAllBut(name: DriverName): Promise<void> {
    const aside = this.#hostsForwarding();
    for (const variant of ['nft', 'legacy'] as const)
      if (name !== `iptables-${variant}` && (await this.use(variant)).ours > 0)
        await this.iptables(variant, aside, NO_FLOWS).cleanUp();
    if (name !== 'nftables' && (await this.#hasOurTable())) await this.nftables(aside, NO_FLOWS).cleanUp();
  }

  async use(variant: Variant): Promise<VariantUse> {
    try {
      const { 4: four, 6: six } = this.#tables(variant);
      const [use, use6] = [countUse(await four.read(TABLES)), countUse(await six.read(TABLES).catch(ofMissingProgram))];
      return { variant, foreign: use.foreign, ours: use.ours + use6.ours };
    } catch (error) {
      const obstacle = AppError.from(error);
      if (!['PROGRAM_MISSING', 'FOREIGN_NATIVE_RULES', 'COMMAND_FAILED'].includes(obstacle.reason)) throw error;
      return { variant, foreign: 0, ours: 0, obstacle };
    }
  }

  /** What else was found; `known` are the drivers that were tried. */
  async capabilities(known: readonly string[]): Promise<FoundCapability[]> {
    const untried = ['driver.nftables', 'driver.iptables-nft', 'driver.iptables-legacy']
      .filter((name) => !known.includes(name))
      .map((name) => ({ name, supported: false, detail: 'not tried: the agent uses another driver; choose it with --driver' }));
    return [
      ...untried,
      { name: 'conntrack', ...(await this.#tracking.probe()) },
      { name: 'events.nftables', supported: this.#watch.watch !== undefined, detail: this.#watch.detail },
      { name: 'events.addresses', supported: this.#host.watch !== undefined, detail: this.#host.watchDetail },
    ];
  }

  /** Without the program nobody can have made a table; with it, the table is there or not. */
  async #hasOurTable(): Promise<boolean> {
    const { exec } = this.#options;
    try {
      for (const family of ['ip', 'ip6']) {
        const command = { program: 'nft', args: ['--terse', 'list', 'table', family, 'gwctl'], discardOutput: true };
        if ((await exec.run(command)).exitCode === 0) return true;
      }
      return false;
    } catch (error) {
      if (error instanceof AppError && error.reason === 'PROGRAM_MISSING') return false;
      throw error;
    }
  }

  /** Read, and never written. */
  #hostsForwarding(): Forwardings {
    const untouched = async () => undefined;
    const only = (of: ForwardingSwitch) => ({ read: () => of.read(), turnOn: untouched, restore: untouched });
    return { forwarding: only(this.#forwardings.forwarding), forwarding6: only(this.#forwardings.forwarding6) };
  }

  #filters(): ProgramFilters {
    const { exec } = this.#options;
    return new ProgramFilters({ exec, legacyTables: () => readLegacyTables(4), legacyTables6: () => readLegacyTables(6) });
  }

  #tables(variant: Variant): Required<FamilyTables> {
    const { exec } = this.#options;
    const of = (family: Family) => new ProgramTables({ variant, family, exec, legacyTables: () => readLegacyTables(family) });
    return { 4: of(4), 6: of(6) };
  }
}

/** A host without ip6tables holds nothing of it. */
function ofMissingProgram(error: unknown): Saved {
  if (error instanceof AppError && error.reason === 'PROGRAM_MISSING') return new Map();
  throw error;
}

/** Whoever may not read them asks the program itself. */
const readLegacyTables = (family: Family): Promise<string> => legacyTables(family, 'unknown');
