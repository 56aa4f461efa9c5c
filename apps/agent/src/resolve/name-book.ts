import type { GatewaySettings } from '@gwctl/shared/domain/gateway-settings';
import type { Clock, Random, Timer } from '../clock.js';
import type { Resolution } from '../planner/types.js';
import type { Answers } from './answer.js';
import type { DnsClient, FamilyAnswer } from './dns-client.js';
import type { HostNaming, HostNamingSource } from './host-naming.js';
import { Lanes } from './lanes.js';
import type { RememberedNames } from './remembered.js';
import { type Pacing, TrackedName } from './tracked-name.js';

/** How often the host's own files are looked at, in milliseconds. */
const LOOK = 5000;

/** Resolvers, floor and ceiling as a gateway has them. */
export type NamingSettings = Pick<GatewaySettings, 'resolvers' | 'dnsMinTtl' | 'dnsMaxTtl'>;

export interface NameBookOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly client: DnsClient;
  /** Asked only while no resolvers are set. */
  readonly host: HostNamingSource;
  /** Answers of an earlier life, used until there are better ones. */
  readonly remembered?: RememberedNames;
}

interface Entry {
  readonly name: string;
  readonly tracked: TrackedName;
  timer?: Timer | undefined;
}

/** Who is asked, and how long an answer holds. Another object means that every name is asked again. */
interface Round {
  readonly settings: NamingSettings;
  readonly pacing: Pacing;
  readonly host?: HostNaming;
}

/** Keeps the answer for every name that is wanted, and asks again in time. */
export class NameBook {
  readonly #options: NameBookOptions;
  readonly #lanes: Lanes;
  readonly #entries = new Map<string, Entry>();
  readonly #listeners = new Set<() => void>();
  #wanted: ReadonlySet<string> | undefined;
  #round: Round | undefined;
  #view: ReadonlyMap<string, Resolution> | undefined;
  /** Listeners were told of a change that nobody has looked at since. */
  #told = false;
  #look: Timer | undefined;
  #running = false;

  constructor(options: NameBookOptions) {
    this.#options = options;
    this.#lanes = new Lanes(options.clock);
  }

  /** Asks in the background from now on. */
  start(): void {
    if (this.#running) return;
    this.#running = true;
    this.#watchHost();
    this.#askAll();
  }

  /** Asks no more; what is known stays to be seen. */
  stop(): void {
    this.#running = false;
    this.#look?.cancel();
    this.#lanes.clear();
    for (const entry of this.#entries.values()) entry.timer?.cancel();
    this.#options.client.close();
  }

  /**
   * Says which names matter (as parseDnsName gives them) and how they are to be asked. New ones are asked for at once, others are
   * forgotten. Other settings mean that every name is asked for again; what is known holds until then.
   */
  want(names: ReadonlySet<string>, settings: NamingSettings): void {
    if (!this.#round || !sameSettings(this.#round.settings, settings)) {
      this.#round = this.#newRound(settings);
      this.#askAll();
    }
    if (names === this.#wanted) return;
    this.#wanted = names;
    for (const entry of this.#entries.values()) if (!names.has(entry.name)) this.#forget(entry);
    for (const name of names) if (!this.#entries.has(name)) this.#add(name);
  }

  /** What is known of each wanted name: the same map and the same objects in it for as long as nothing changed. */
  view(): ReadonlyMap<string, Resolution> {
    this.#told = false;
    this.#view ??= new Map([...this.#entries].map(([name, { tracked }]) => [name, tracked.resolution]));
    return this.#view;
  }

  /**
   * Has `listener` called when an answer changed, once until somebody looks at {@link view}. Not for what {@link want} changes.
   * Returns how to end that.
   */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #add(name: string): void {
    const entry: Entry = { name, tracked: new TrackedName(this.#options.remembered?.get(name)) };
    this.#entries.set(name, entry);
    this.#view = undefined;
    this.#queue(entry);
  }

  #forget(entry: Entry): void {
    entry.timer?.cancel();
    this.#entries.delete(entry.name);
    this.#view = undefined;
  }

  #askAll(): void {
    this.#lanes.clear();
    for (const entry of this.#entries.values()) this.#queue(entry);
  }

  #queue(entry: Entry): void {
    entry.timer?.cancel();
    const round = this.#round;
    if (!this.#running || !round) return;
    this.#lanes.add(entry.tracked.failing ? 'doubtful' : 'steady', {
      ask: () => this.#ask(entry, round),
      matters: () => this.#matters(entry, round),
    });
  }

  async #ask(entry: Entry, round: Round): Promise<void> {
    const { settings, host } = round;
    const known = host?.names.get(entry.name);
    const servers = host?.servers ?? settings.resolvers;
    const answers = known ? answersOf(known.map((a) => a.text)) : await this.#askServers(entry.name, servers);
    if (!this.#matters(entry, round)) return;
    const { clock, random } = this.#options;
    const before = entry.tracked.resolution;
    const moment = { now: clock.monotonic(), wall: clock.now() };
    const delay = entry.tracked.record(answers, moment, round.pacing, random, host?.trouble);
    entry.timer = clock.after(delay, () => this.#queue(entry));
    if (entry.tracked.resolution !== before) this.#changed();
  }

  async #askServers(name: string, servers: readonly string[]): Promise<Answers> {
    const { client } = this.#options;
    const [v4, v6] = await Promise.all([client.ask(name, 4, servers), client.ask(name, 6, servers)]);
    return { 4: v4, 6: v6 };
  }

  /** Whether a question that was queued or asked is still one. */
  #matters(entry: Entry, round: Round): boolean {
    return this.#running && this.#round === round && this.#entries.get(entry.name) === entry;
  }

  #changed(): void {
    this.#view = undefined;
    if (this.#told) return;
    this.#told = true;
    for (const listener of [...this.#listeners]) listener();
  }

  #newRound(settings: NamingSettings): Round {
    const pacing = { floor: settings.dnsMinTtl * 1000, ceiling: settings.dnsMaxTtl * 1000 };
    return settings.resolvers.length > 0 ? { settings, pacing } : { settings, pacing, host: this.#options.host.read() };
  }

  #watchHost(): void {
    this.#look = this.#options.clock.after(LOOK, () => {
      this.#watchHost();
      const round = this.#round;
      if (!round?.host || this.#options.host.read() === round.host) return;
      this.#round = this.#newRound(round.settings);
      this.#askAll();
    });
  }
}

/** What a hosts file says, in the shape of what servers say. It has no TTL: it is looked at for changes. */
function answersOf(addresses: readonly string[]): Answers {
  const family = (texts: readonly string[]): FamilyAnswer =>
    texts.length > 0
      ? { kind: 'addresses', addresses: texts, ttl: Number.POSITIVE_INFINITY }
      : { kind: 'none', word: 'NODATA', server: '/etc/hosts' };
  return { 4: family(addresses.filter((a) => !a.includes(':'))), 6: family(addresses.filter((a) => a.includes(':'))) };
}

function sameSettings(a: NamingSettings, b: NamingSettings): boolean {
  return a.dnsMinTtl === b.dnsMinTtl && a.dnsMaxTtl === b.dnsMaxTtl && a.resolvers.join(' ') === b.resolvers.join(' ');
}
