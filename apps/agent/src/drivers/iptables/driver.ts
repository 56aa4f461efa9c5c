import type { Family } from '@gwctl/shared/domain/ip';
import type { Counters } from '@gwctl/shared/domain/status';
import { AppError } from '@gwctl/shared/errors/app-error';
import type { DriverCapabilities, HostDesired } from '../../planner/types.js';
import type { FlowTable } from '../../system/conntrack.js';
import type { IpForwarding } from '../../system/ip-forwarding.js';
import type { RuleWatch } from '../../system/rule-watch.js';
import type { PacketsUnderWay } from '../../system/under-way.js';
import type { Detection, Driver, DriverCondition, DriverName } from '../driver.js';
import { conditions } from './conditions.js';
import { addCounters, COUNTED_TABLES } from './counters.js';
import { diff, wantedOf } from './diff.js';
import { drift } from './drift.js';
import { Execution, liveFlows, notAsWritten } from './execution.js';
import { CHAINS, FAMILIES, TABLES, type TableName } from './layout.js';
import { type FamilyObserved, type Observed, observeTables, onlyAccepts, shareChains } from './observe.js';
import { type ForeignFilters, NO_FOREIGN_FILTERS } from './other-filters-reader.js';
import { NOTHING_DESIRED, type Rendered, render } from './render.js';
import type { IptablesPlan, IptablesStep } from './steps.js';
import type { FamilyTables, IptablesTables } from './tables.js';
import type { Feature } from './trial.js';

/** Forwarding of the host as this driver needs it. */
export type ForwardingSwitch = Pick<IpForwarding, 'read' | 'turnOn' | 'restore'>;

export interface IptablesDriverOptions {
  readonly tables: FamilyTables;
  readonly forwarding: ForwardingSwitch;
  /** Of IPv6; without it, or without its tables, IPv6 is not carried. */
  readonly forwarding6?: ForwardingSwitch | undefined;
  readonly flows: FlowTable;
  /** Default: other filters are nobody's business. */
  readonly filters?: ForeignFilters | undefined;
  readonly underWay: PacketsUnderWay;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Only where the kernel announces changes. */
  readonly watch?: RuleWatch | undefined;
}

/** How a host without IPv6 answers. */
const WITHOUT_SIX: ReadonlySet<string> = new Set(['PROGRAM_MISSING', 'SYSCTL_FAILED']);

/** How often to look whether flows that go on after the last forward have ended. */
const LINGERING_MS = 1_000;

/** Both variants of iptables. The README beside this file says what it puts where, and why. */
export class IptablesDriver implements Driver<Rendered, Observed, IptablesStep> {
  readonly name: DriverName;
  readonly watch?: RuleWatch;
  readonly #options: IptablesDriverOptions;
  readonly #filters: ForeignFilters;
  #families: readonly Family[];
  #missing: ReadonlySet<Feature> = new Set();
  #mirror: Observed | undefined;
  #applied: Rendered | undefined;
  #flowTrouble: string | undefined;

  constructor(options: IptablesDriverOptions) {
    this.name = `iptables-${options.tables[4].variant}`;
    this.#options = options;
    this.#filters = options.filters ?? NO_FOREIGN_FILTERS;
    this.#families = options.tables[6] && options.forwarding6 ? FAMILIES : [4];
    if (options.watch) this.watch = options.watch;
  }

  /** After {@link detect}: without what this host was found to lack. */
  get capabilities(): DriverCapabilities {
    const has = (feature: Feature) => !this.#missing.has(feature);
    return {
      families: this.#families,
      protocols: ['tcp', 'udp', 'tcp+udp', 'all'],
      portRanges: true,
      targets: has('targets') ? 64 : 1,
      affinityTargets: has('targets') && has('affinity') ? 16 : 0,
      announce: true,
      ftp: has('ftp'),
      clampMss: has('clampMss'),
      egress: has('egress'),
      kind: 'kernel',
    };
  }

  async detect(): Promise<Detection> {
    const troubles: string[] = [];
    const missing = new Set<Feature>();
    const families: Family[] = [];
    for (const family of this.#families) {
      try {
        await this.#switch(family).read();
        for (const [feature, why] of await this.#tables(family).tryOut()) {
          missing.add(feature);
          troubles.push(`no ${feature}: ${why}`);
        }
        families.push(family);
      } catch (error) {
        const why = AppError.from(error).message;
        if (family === 4) return { supported: false, detail: why };
        troubles.push(`no IPv6: ${why}`);
      }
    }
    this.#families = families;
    this.#missing = missing;
    const found = `${this.name}: ${troubles.length === 0 ? 'every' : 'nearly every'} match and target that gwctl uses was accepted in a scratch chain`;
    return { supported: true, detail: [found, ...troubles].join('; ') };
  }

  render(desired: HostDesired, previous?: Rendered): Rendered {
    return render(desired, previous);
  }

  async observe(): Promise<Observed> {
    this.#mirror = undefined;
    // All at once: what is lost is put back the sooner.
    const [filters, ...found] = await Promise.all([this.#filters.read(), ...this.#families.map((f) => this.#observeFamily(f))]);
    const families = found.filter((f) => f !== undefined);
    this.#mirror = { at: this.#options.now(), families, filters, ...this.#trouble() };
    return this.#mirror;
  }

  /** Undefined where the host has no IPv6, or no ip6tables, which can have left nothing. */
  async #observeFamily(family: Family): Promise<FamilyObserved | undefined> {
    const asked = Promise.all([this.#tables(family).read(TABLES), this.#switch(family).read()]);
    const answer = await asked.catch((error: unknown) => {
      if (family === 6 && WITHOUT_SIX.has(AppError.from(error).reason)) return undefined;
      throw error;
    });
    if (!answer) return undefined;
    const [saved, forwarding] = answer;
    const read = observeTables(saved);
    const applied = this.#applied?.families[family];
    if (onlyAccepts(read)) {
      const { alive, trouble } = await liveFlows(this.#options.flows, family);
      if (trouble !== undefined) this.#flowTrouble = trouble;
      return { family, tables: read, forwarding, lingering: alive.length > 0 };
    }
    if (!applied) return { family, tables: read, forwarding };
    const wanted = wantedOf(applied, { forwarding });
    const tables = shareChains(read, wanted);
    return { family, tables, forwarding, ...(isWhole(tables, wanted) ? { as: applied } : {}) };
  }

  /** Also undefined from time to time while flows go on after the last forward: whether they have ended, only reading tells. */
  mirror(): Observed | undefined {
    const mirror = this.#mirror;
    const lingering = mirror?.families.some((f) => f.lingering) === true;
    return lingering && this.#options.now() - mirror.at >= LINGERING_MS ? undefined : mirror;
  }

  diff(rendered: Rendered, observed: Observed): IptablesPlan {
    return diff(rendered, observed);
  }

  drift(applied: Rendered, observed: Observed) {
    return drift(applied, observed);
  }

  conditions(observed: Observed): readonly DriverCondition[] {
    return conditions(observed);
  }

  async apply(plan: IptablesPlan): Promise<void> {
    const before = this.#mirror;
    if (plan.steps.length === 0) {
      // What was read is what is wanted, so from now on it is compared at a glance.
      this.#applied = plan.of;
      return;
    }
    this.#mirror = undefined;
    const execution = new Execution({
      tables: (f) => this.#tables(f),
      forwarding: (f) => this.#switch(f),
      flows: this.#options.flows,
      filters: this.#filters,
      underWay: this.#options.underWay,
      now: this.#options.now,
    });
    const after = await execution.run(plan, before);
    if (execution.flowsDone !== undefined) this.#flowTrouble = execution.flowsDone.trouble;
    this.#applied = plan.of;
    // A plan without rules still changes what is known of forwarding and flows.
    const families =
      after && (await Promise.all(after.families.map(async (f) => ({ ...f, forwarding: await this.#switch(f.family).read() }))));
    this.#mirror = after && families && { at: after.at, families, filters: after.filters, ...this.#trouble() };
  }

  async counters(): Promise<ReadonlyMap<string, Counters>> {
    const counters = new Map<string, Counters>();
    for (const family of this.#families)
      for (const table of COUNTED_TABLES)
        if (this.#counts(family, table)) addCounters(await this.#tables(family).readCounters(table), counters);
    return counters;
  }

  /** Reading a table of thousands of rules takes its time: one that has nothing to say is left out. */
  #counts(family: Family, table: TableName): boolean {
    const applied = this.#applied?.families[family];
    if (!applied) return true;
    return table === 'mangle' ? applied.tables.mangle.chains.has(CHAINS.acl) : applied.tables[table].chains.size > 0;
  }

  async cleanUp(): Promise<void> {
    const nothing = render(NOTHING_DESIRED);
    const execution = new Execution({
      tables: (f) => this.#tables(f),
      forwarding: (f) => this.#switch(f),
      flows: this.#options.flows,
      filters: this.#filters,
      underWay: this.#options.underWay,
      now: this.#options.now,
      waitForNobody: true,
    });
    for (const family of this.#families) await this.#switch(family).restore();
    await execution.run(diff(nothing, await this.observe()), this.#mirror);
    const left = diff(nothing, await this.observe()).steps.filter((s) => s.kind === 'rules');
    if (left.length > 0) throw notAsWritten('clean-up left rules of ours behind', left);
    if (execution.flowsDone) this.#flowTrouble = execution.flowsDone.trouble;
  }

  #tables(family: Family): IptablesTables {
    const tables = this.#options.tables[family];
    if (!tables) throw new Error(`no tables for IPv${family}`);
    return tables;
  }

  #switch(family: Family): ForwardingSwitch {
    const found = family === 4 ? this.#options.forwarding : this.#options.forwarding6;
    if (!found) throw new Error(`no forwarding switch for IPv${family}`);
    return found;
  }

  #trouble(): { flowTrouble?: string } {
    return this.#flowTrouble === undefined ? {} : { flowTrouble: this.#flowTrouble };
  }
}

const isWhole = (tables: FamilyObserved['tables'], { tables: wanted }: Rendered['families'][Family]): boolean =>
  TABLES.every((t) => tables[t].chains === (wanted[t].chains as unknown));
