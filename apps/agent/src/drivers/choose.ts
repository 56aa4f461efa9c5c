import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError } from '@gwctl/shared/errors/app-error';
import { ConntrackFlows, type FlowTable } from '../system/conntrack.js';
import type { Exec } from '../system/exec.js';
import { generationReader } from '../system/generation.js';
import { IpForwarding } from '../system/ip-forwarding.js';
import type { LinkReader } from '../system/links.js';
import { ConntrackLiveFlows } from '../system/live-flows.js';
import { ProcFlowSources } from '../system/proc-flows.js';
import { ruleWatch } from '../system/rule-watch.js';
import { FileSysctlRecord, ProcSysctl } from '../system/sysctl.js';
import type { Driver } from './driver.js';
import { type ForwardingSwitch, IptablesDriver } from './iptables/driver.js';
import { CHAIN_PREFIX, TABLES } from './iptables/layout.js';
import type { Saved } from './iptables/save-format.js';
import { ProgramTables, type Variant } from './iptables/tables.js';
import { NftablesDriver } from './nftables/driver.js';
import { ProgramFilters } from './nftables/filter-programs.js';
import { ProgramNft } from './nftables/nft.js';

/** What may be asked for: `iptables` leaves the variant to what the host uses, `auto` everything. */
export const DRIVER_PREFERENCES = ['auto', 'nftables', 'iptables', 'iptables-nft', 'iptables-legacy', 'relay'] as const;
export type DriverPreference = (typeof DRIVER_PREFERENCES)[number];

/** Something that was found by trying; for the control plane. */
export interface FoundCapability {
  /** For instance `driver.iptables-nft`, `conntrack`, `events.nftables`. */
  readonly name: string;
  readonly supported: boolean;
  readonly detail: string;
}

export interface ChosenDriver {
  readonly driver: Driver;
  readonly capabilities: readonly FoundCapability[];
  /**
   * Removes what an agent with the other variant of iptables left on this host. Call it after the first apply: flows then never miss
   * their rules. Does nothing where there is nothing.
   */
  cleanLeftovers(): Promise<void>;
}

export interface ChooseOptions {
  readonly preference: DriverPreference;
  readonly exec: Exec;
  readonly links: LinkReader;
  /** Where changed kernel parameters are remembered (`sysctl.json`). */
  readonly stateDir: string;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
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

/**
 * Finds the driver for this host by trying. Throws UNIMPLEMENTED for what this version has no driver for, and FAILED_PRECONDITION
 * (NO_DRIVER) with everything that was tried where none works.
 */
export async function chooseDriver(options: ChooseOptions): Promise<ChosenDriver> {
  const { preference, exec } = options;
  if (preference === 'relay')
    throw new AppError({
      code: 'UNIMPLEMENTED',
      reason: 'DRIVER_NOT_AVAILABLE',
      message: `the driver ${preference} is not in this version; use auto, nftables or iptables`,
    });
  const parts = new Parts(options);
  if (preference === 'nftables') return parts.nftablesChosen();
  const uses = { nft: await parts.use('nft'), legacy: await parts.use('legacy') };
  const wanted = preference === 'iptables-nft' ? 'nft' : preference === 'iptables-legacy' ? 'legacy' : undefined;
  const order: readonly Variant[] = wanted ? [wanted] : orderVariants(uses.nft, uses.legacy, await defaultVariant(exec));
  const tried: FoundCapability[] = [];
  for (const variant of order) {
    const driver = parts.driver(variant);
    const obstacle = uses[variant].obstacle;
    const { supported, detail } = obstacle ? { supported: false, detail: obstacle.message } : await driver.detect();
    tried.push({ name: `driver.${driver.name}`, supported, detail });
    if (!supported) continue;
    const other = variant === 'nft' ? 'legacy' : 'nft';
    return {
      driver,
      capabilities: [...tried, ...(await parts.capabilities(tried.map((t) => t.name)))],
      cleanLeftovers: async () => {
        if ((await parts.use(other)).ours > 0) await parts.withoutForwarding(other).cleanUp();
        await parts.cleanNftables();
      },
    };
  }
  throw new AppError({
    code: 'FAILED_PRECONDITION',
    reason: 'NO_DRIVER',
    message: `no driver works on this host; tried ${tried.map((t) => `${t.name.slice('driver.'.length)}: ${t.detail}`).join('; ')}`,
  });
}

/**
 * The variant that the host uses goes first: rules in the other one would not see each other's verdicts. Where nobody uses either,
 * the one that holds ours from before, else the one that the program `iptables` is.
 */
export function orderVariants(nft: VariantUse, legacy: VariantUse, byDefault: Variant): readonly Variant[] {
  const prefer = (): Variant => {
    if (nft.foreign !== legacy.foreign) return nft.foreign > legacy.foreign ? 'nft' : 'legacy';
    if (nft.foreign > 0) return 'nft';
    if (nft.ours !== legacy.ours) return nft.ours > legacy.ours ? 'nft' : 'legacy';
    return byDefault;
  };
  return prefer() === 'nft' ? ['nft', 'legacy'] : ['legacy', 'nft'];
}

async function defaultVariant(exec: Exec): Promise<Variant> {
  try {
    return (await exec.run({ program: 'iptables', args: ['--version'] })).stdout.includes('(legacy)') ? 'legacy' : 'nft';
  } catch (error) {
    if (error instanceof AppError && error.reason === 'PROGRAM_MISSING') return 'nft';
    throw error;
  }
}

/** Counts the rules of others and the chains of ours in everything that a variant holds. */
export function countUse(saved: Saved): { readonly foreign: number; readonly ours: number } {
  const chains = [...saved.values()].flatMap((table) => [...table]);
  const foreign = chains.filter(([name]) => !name.startsWith(CHAIN_PREFIX)).flatMap(([, { rules }]) => rules);
  return {
    foreign: foreign.filter((rule) => !rule.includes(`-j ${CHAIN_PREFIX}`)).length,
    ours: chains.length - chains.filter(([name]) => !name.startsWith(CHAIN_PREFIX)).length,
  };
}

/** For cleaning up beside a driver that is at work: the flows go on under its rules. */
const NO_FLOWS: FlowTable = { marked: async () => [], remove: async () => 0 };

/** Puts drivers together from the host's parts. */
class Parts {
  readonly #options: ChooseOptions;
  readonly #forwarding: IpForwarding;
  readonly #flows: ConntrackFlows;
  readonly #sources: ProcFlowSources;
  readonly #watch: ReturnType<typeof ruleWatch>;

  constructor(options: ChooseOptions) {
    this.#options = options;
    const { exec, links, stateDir } = options;
    const record = new FileSysctlRecord({ file: join(stateDir, 'sysctl.json') });
    this.#forwarding = new IpForwarding({ sysctl: new ProcSysctl(), record });
    const ownAddresses = async () => new Set((await links()).addresses.map((a) => a.address.text));
    this.#sources = new ProcFlowSources({ ownAddresses });
    this.#flows = new ConntrackFlows({ exec, sources: this.#sources });
    this.#watch = ruleWatch(exec);
  }

  driver(variant: Variant): IptablesDriver {
    return this.#build(variant, this.#forwarding);
  }

  /** For cleaning up beside a driver that is at work: forwarding is not its to take back. */
  withoutForwarding(variant: Variant): IptablesDriver {
    return this.#build(variant, this.#hostsForwarding(), NO_FLOWS);
  }

  /** What the nftables driver left; see {@link withoutForwarding}. */
  async cleanNftables(): Promise<void> {
    // Without the program nobody can have made a table; with it, the table is there or not.
    if (await this.#hasOurTable()) await this.nftables(this.#hostsForwarding(), NO_FLOWS).cleanUp();
  }

  async #hasOurTable(): Promise<boolean> {
    try {
      const listed = await this.#options.exec.run({
        program: 'nft',
        args: ['list', 'table', 'ip', 'gwctl'],
        discardOutput: true,
      });
      return listed.exitCode === 0;
    } catch (error) {
      if (error instanceof AppError && error.reason === 'PROGRAM_MISSING') return false;
      throw error;
    }
  }

  #hostsForwarding(): ForwardingSwitch {
    const untouched = async () => undefined;
    return { read: () => this.#forwarding.read(), turnOn: untouched, restore: untouched };
  }

  nftables(forwarding: ForwardingSwitch = this.#forwarding, table: FlowTable = this.#flows): NftablesDriver {
    const { exec, now } = this.#options;
    return new NftablesDriver({
      nft: new ProgramNft({ exec, generation: generationReader().generation }),
      filters: new ProgramFilters({ exec, legacyTables: readLegacyTables }),
      forwarding,
      flows: { table, live: new ConntrackLiveFlows({ exec, sources: this.#sources }) },
      host: { now, watch: this.#watch.watch },
    });
  }

  async nftablesChosen(): Promise<ChosenDriver> {
    const driver = this.nftables();
    const { supported, detail } = await driver.detect();
    if (!supported)
      throw new AppError({
        code: 'FAILED_PRECONDITION',
        reason: 'NO_DRIVER',
        message: `nftables does not work on this host: ${detail}`,
      });
    return {
      driver,
      capabilities: [{ name: 'driver.nftables', supported, detail }, ...(await this.capabilities(['driver.nftables']))],
      cleanLeftovers: async () => {
        for (const variant of ['nft', 'legacy'] as const)
          if ((await this.use(variant)).ours > 0) await this.withoutForwarding(variant).cleanUp();
      },
    };
  }

  async use(variant: Variant): Promise<VariantUse> {
    try {
      return { variant, ...countUse(await this.#tables(variant).read(TABLES)) };
    } catch (error) {
      const obstacle = AppError.from(error);
      if (
        obstacle.reason !== 'PROGRAM_MISSING' &&
        obstacle.reason !== 'FOREIGN_NATIVE_RULES' &&
        obstacle.reason !== 'COMMAND_FAILED'
      )
        throw error;
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
      { name: 'driver.relay', supported: false, detail: 'not in this version' },
      await this.#conntrack(),
      { name: 'events.nftables', supported: this.#watch.watch !== undefined, detail: this.#watch.detail },
    ];
  }

  async #conntrack(): Promise<FoundCapability> {
    const name = 'conntrack';
    try {
      const { exitCode, stderr } = await this.#options.exec.run({ program: 'conntrack', args: ['-C'] });
      if (exitCode === 0) return { name, supported: true, detail: 'flows of changed forwards can be removed' };
      return { name, supported: false, detail: `conntrack -C failed: ${stderr.trim().slice(0, 200)}` };
    } catch (error) {
      return { name, supported: false, detail: AppError.from(error).message };
    }
  }

  #build(variant: Variant, forwarding: ForwardingSwitch, flows: FlowTable = this.#flows): IptablesDriver {
    return new IptablesDriver({
      tables: this.#tables(variant),
      forwarding,
      flows,
      now: this.#options.now,
      // The kernel announces nothing of iptables-legacy.
      ...(variant === 'nft' && this.#watch.watch ? { watch: this.#watch.watch } : {}),
    });
  }

  #tables(variant: Variant): ProgramTables {
    return new ProgramTables({ variant, exec: this.#options.exec, legacyTables: readLegacyTables });
  }
}

/**
 * Names of the tables of iptables-legacy in this network namespace; empty, or no file at all, where it was never used. Whoever may not
 * read the file does not know, so the program itself is asked.
 */
async function readLegacyTables(): Promise<string> {
  try {
    return await readFile('/proc/net/ip_tables_names', 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return '';
    if (code === 'EACCES') return 'unknown';
    throw error;
  }
}
