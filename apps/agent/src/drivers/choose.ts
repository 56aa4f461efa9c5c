import { AppError } from '@gwctl/shared/errors/app-error';
import type { Logger } from '@gwctl/shared/logging/logger';
import type { Carriers } from '../planner/types.js';
import type { Exec } from '../system/exec.js';
import { halfDoneHandshakes, handshakesOver } from '../system/handshakes.js';
import type { LinkReader } from '../system/links.js';
import { markVirtual } from '../system/virtual-addresses.js';
import type { Driver } from './driver.js';
import type { Variant } from './iptables/tables.js';
import { PairDriver } from './pair/driver.js';
import { type FoundCapability, Parts, type PartsOptions, type VariantUse } from './parts.js';
import type { RelayDriver } from './relay/driver.js';

/** What may be asked for: `iptables` leaves the variant to what the host uses, `auto` prefers nftables. */
export const DRIVER_PREFERENCES = ['auto', 'nftables', 'iptables', 'iptables-nft', 'iptables-legacy', 'relay'] as const;
export type DriverPreference = (typeof DRIVER_PREFERENCES)[number];

export interface ChosenDriver {
  readonly driver: Driver;
  /** What may be planned for it. */
  readonly carriers: Carriers;
  readonly capabilities: readonly FoundCapability[];
  /** Addresses and interfaces, with those marked that are there only because the driver announces them. */
  readonly links: LinkReader;
  /** Process ids of what listens for forwards, where something does. */
  readonly ownProcesses?: () => Promise<ReadonlySet<number>>;
  /**
   * Removes what an agent with another driver left on this host. Call it after the first apply: flows then never miss their rules.
   * Does nothing where there is nothing.
   */
  cleanLeftovers(): Promise<void>;
}

export interface ChooseOptions extends PartsOptions {
  readonly preference: DriverPreference;
  /** Undefined where it is not to be used. */
  readonly relay?: RelayDriver;
  readonly log?: Pick<Logger, 'warn'>;
}

/**
 * Finds the driver for this host by trying: nftables where it works, else iptables in the variant that the host uses; the relay beside it,
 * or, with `auto`, alone where neither works. Throws FAILED_PRECONDITION (NO_DRIVER) with everything that was tried where none works.
 */
export async function chooseDriver(options: ChooseOptions): Promise<ChosenDriver> {
  const { preference } = options;
  const parts = new Parts(options);
  if (preference === 'relay')
    return relayAlone(options, parts, { tried: [], why: 'its agent is to touch no rules (--driver relay)' });
  const tried: FoundCapability[] = [];
  for await (const candidate of candidates(preference, parts, options.exec)) {
    const { driver, obstacle } = candidate;
    const { supported, detail } = obstacle ? { supported: false, detail: obstacle.message } : await driver.detect();
    tried.push({ name: `driver.${driver.name}`, supported, detail });
    if (supported) return withRelay(options, parts, { driver, tried });
  }
  const why = `no kernel driver works; tried ${tried.map((t) => `${t.name.slice('driver.'.length)}: ${t.detail}`).join('; ')}`;
  if (preference !== 'auto') throw noDriver(why);
  const alone = await relayAlone(options, parts, { tried, why });
  options.log?.warn({ why }, 'forwards are carried by the relay alone');
  return alone;
}

/** A kernel driver, and the relay beside it where that works. */
async function withRelay(
  options: ChooseOptions,
  parts: Parts,
  { driver, tried }: { readonly driver: Driver; readonly tried: readonly FoundCapability[] },
): Promise<ChosenDriver> {
  const kernel = parts.onHost(driver);
  const { relay, found } = await tryRelay(options);
  const untried = await parts.capabilities(tried.map((t) => t.name));
  const shared = {
    links: markVirtual(options.links, parts.virtualAddresses),
    capabilities: [...tried, ...untried, found],
    cleanLeftovers: () => parts.cleanAllBut(driver.name),
  };
  if (!relay) return { ...shared, driver: kernel, carriers: { kernel: kernel.capabilities } };
  const { families, targets } = relay.capabilities;
  const { announce } = kernel.capabilities;
  return {
    ...shared,
    driver: new PairDriver({ kernel, relay, handshakesOver: handshakesOver({ read: halfDoneHandshakes() }) }),
    carriers: { kernel: kernel.capabilities, relay: { families, targets, announce } },
    ownProcesses: () => relay.processes(),
  };
}

/** The relay and nothing else: for an agent without privileges, or on a gateway whose firewall nobody may touch. */
async function relayAlone(
  options: ChooseOptions,
  parts: Parts,
  { tried, why }: { readonly tried: readonly FoundCapability[]; readonly why: string },
): Promise<ChosenDriver> {
  const { relay, found } = await tryRelay(options);
  if (!relay) throw noDriver(tried.length === 0 ? `the relay: ${found.detail}` : `${why}; relay: ${found.detail}`);
  const { families, targets, announce } = relay.capabilities;
  return {
    driver: relay,
    carriers: { relay: { families, targets, announce }, without: why },
    links: options.links,
    capabilities: [...tried, found],
    ownProcesses: () => relay.processes(),
    cleanLeftovers: () => parts.cleanAllBut('relay'),
  };
}

async function tryRelay({ relay }: ChooseOptions): Promise<{ readonly relay?: RelayDriver; readonly found: FoundCapability }> {
  const name = 'driver.relay';
  if (!relay) return { found: { name, supported: false, detail: 'this agent runs without it' } };
  const { supported, detail } = await relay.detect();
  return { found: { name, supported, detail }, ...(supported ? { relay } : {}) };
}

const noDriver = (why: string) =>
  new AppError({ code: 'FAILED_PRECONDITION', reason: 'NO_DRIVER', message: `no driver works on this host: ${why}` });

interface Candidate {
  readonly driver: Driver;
  /** Why it cannot be used, where that is known without trying. */
  readonly obstacle?: AppError;
}

/** Drivers in the order of preference, made one at a time: merely to look at a variant of iptables may load modules. */
async function* candidates(preference: DriverPreference, parts: Parts, exec: Exec): AsyncGenerator<Candidate> {
  if (preference === 'auto' || preference === 'nftables') yield { driver: parts.nftables() };
  if (preference === 'nftables') return;
  const uses = { nft: await parts.use('nft'), legacy: await parts.use('legacy') };
  const named = preference === 'iptables-nft' ? 'nft' : preference === 'iptables-legacy' ? 'legacy' : undefined;
  const order: readonly Variant[] = named ? [named] : orderVariants(uses.nft, uses.legacy, await defaultVariant(exec));
  for (const variant of order) {
    const { obstacle } = uses[variant];
    yield { driver: parts.iptables(variant), ...(obstacle ? { obstacle } : {}) };
  }
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
