import type { Family } from '@gwctl/shared/domain/ip';
import type { Counters } from '@gwctl/shared/domain/status';
import { AppError } from '@gwctl/shared/errors/app-error';
import type { Filters } from '../../filters/filter-programs.js';
import { iptablesForward, VARIANTS } from '../../filters/filters.js';
import type { DriverCapabilities, HostDesired } from '../../planner/types.js';
import type { FlowMatch, FlowTable } from '../../system/conntrack.js';
import type { LiveFlows } from '../../system/live-flows.js';
import type { RuleWatch } from '../../system/rule-watch.js';
import type { PacketsUnderWay } from '../../system/under-way.js';
import type { Detection, Driver, DriverCondition, DriverName } from '../driver.js';
import { conditions } from './conditions.js';
import { countersOf } from './counters.js';
import { diff, rebased, remaining } from './diff.js';
import { drift } from './drift.js';
import { Execution, type ForwardingSwitch, notAsWritten } from './execution.js';
import { expectedOf } from './expected.js';
import { flowChanges } from './flow-changes.js';
import { removalLines, SCRATCH, TABLE, tableName, VERSION } from './layout.js';
import type { Abilities, NftTable } from './nft.js';
import { newerVersion, type Observed, type ObservedTable, type ObservedTables, observeTable } from './observe.js';
import { NOTHING, type Rendered, render } from './render.js';
import { FAMILIES } from './sets.js';
import type { NftablesPlan, NftablesStep } from './steps.js';

export type { ForwardingSwitch } from './execution.js';

/** The tables `ip gwctl` and `ip6 gwctl` of nftables. The README beside this file says what is in them, and why. */
export class NftablesDriver implements Driver<Rendered, Observed, NftablesStep> {
  readonly name: DriverName = 'nftables';
  readonly watch?: RuleWatch;
  readonly #nft: NftTable;
  readonly #filters: Filters;
  readonly #forwarding: Readonly<Record<Family, ForwardingSwitch | undefined>>;
  readonly #flows: { readonly table: Pick<FlowTable, 'remove'>; readonly live: LiveFlows };
  readonly #now: () => number;
  readonly #underWay: PacketsUnderWay;
  /** What {@link detect} found; until then, everything. */
  #abilities: Abilities = { ftp: true, ipv6: true, troubles: [] };
  #mirror: Observed | undefined;
  /** Why flows could last not be removed, and why it could last not be seen whether there are any. */
  readonly #flowTrouble: { removing?: string; looking?: string } = {};

  /**
   * `now`: milliseconds since the epoch. `watch`: only where the kernel announces changes. `forwarding6`: the switch of IPv6; without
   * it the host's own doing is taken for granted.
   */
  constructor(options: {
    readonly nft: NftTable;
    readonly filters: Filters;
    readonly forwarding: ForwardingSwitch;
    readonly forwarding6?: ForwardingSwitch;
    readonly flows: { readonly table: Pick<FlowTable, 'remove'>; readonly live: LiveFlows };
    readonly host: { readonly now: () => number; readonly underWay: PacketsUnderWay; readonly watch?: RuleWatch | undefined };
  }) {
    this.#nft = options.nft;
    this.#filters = options.filters;
    this.#forwarding = { 4: options.forwarding, 6: options.forwarding6 };
    this.#flows = options.flows;
    this.#now = options.host.now;
    this.#underWay = options.host.underWay;
    if (options.host.watch) this.watch = options.host.watch;
  }

  get capabilities(): DriverCapabilities {
    const { ftp, ipv6 } = this.#abilities;
    return {
      families: ipv6 ? [4, 6] : [4],
      protocols: ['tcp', 'udp', 'tcp+udp', 'all'],
      portRanges: true,
      targets: 64,
      affinityTargets: 64,
      announce: true,
      ftp,
      clampMss: true,
      egress: true,
      kind: 'kernel',
    };
  }

  async detect(): Promise<Detection> {
    try {
      this.#abilities = await this.#nft.tryOut();
      const { troubles } = this.#abilities;
      const but = troubles.length === 0 ? '' : `, but ${troubles.join('; ')}`;
      return { supported: true, detail: `nftables: the kernel accepted every chain, map and rule that gwctl uses${but}` };
    } catch (error) {
      return { supported: false, detail: AppError.from(error).message };
    }
  }

  render(desired: HostDesired, previous?: Rendered): Rendered {
    return render(desired, previous);
  }

  async observe(): Promise<Observed> {
    const before = this.#mirror;
    this.#mirror = undefined;
    const unchanged = before?.read === true && before.generation !== undefined && before.generation === this.#nft.generation();
    this.#mirror = unchanged ? await this.#aroundTables(before) : await this.#observed(before?.base ?? NOTHING);
    return this.#mirror;
  }

  mirror(): Observed | undefined {
    return this.#mirror;
  }

  diff(rendered: Rendered, observed: Observed): NftablesPlan {
    const plan = diff(rendered, observed);
    // The same, said with the words that are kept anyway.
    if (plan.steps.length === 0 && observed === this.#mirror && observed.base !== rendered)
      this.#mirror = rebased(rendered, observed);
    return plan;
  }

  drift(applied: Rendered, observed: Observed) {
    return drift(applied, observed);
  }

  conditions(observed: Observed): readonly DriverCondition[] {
    return conditions(observed);
  }

  async counters(): Promise<ReadonlyMap<string, Counters>> {
    const tables = this.#mirror?.tables;
    const families = this.#families().filter((family) => tables === undefined || tables[family] !== undefined);
    return countersOf(families, (family, sets) => this.#nft.counters(family, sets));
  }

  async apply(plan: NftablesPlan): Promise<void> {
    if (plan.steps.length === 0) return;
    const before = this.#mirror;
    this.#mirror = undefined;
    const execution = new Execution(
      {
        nft: this.#nft,
        filters: this.#filters,
        forwarding: this.#forwarding,
        live: this.#flows.live,
        underWay: this.#underWay,
        layout: this.#abilities,
        now: this.#now,
        observed: (expect) => this.#observed(expect),
      },
      before,
    );
    const after = await execution.run(plan);
    if (execution.looking === null) delete this.#flowTrouble.looking;
    else if (execution.looking !== undefined) this.#flowTrouble.looking = execution.looking;
    await this.#removeFlows(execution.flows);
    // A plan without changes of rules still changes what is known of forwarding and flows.
    this.#mirror = after && { ...withoutTrouble(after), ...(await this.#forwardingNow()), ...this.#trouble() };
  }

  async cleanUp(): Promise<void> {
    this.#mirror = undefined;
    const before = await this.#carried();
    for (const family of FAMILIES) await this.#forwarding[family]?.restore();
    const filters = await this.#filters.read();
    for (const family of FAMILIES) {
      for (const variant of VARIANTS) {
        for (const hook of ['FORWARD', 'INPUT'] as const) {
          const present = iptablesForward(hook === 'INPUT' ? filters.input : filters, family, variant)?.companions ?? 0;
          if (present > 0) await this.#filters.place({ variant, family, hook, wanted: false, present });
        }
      }
    }
    await this.#nft.write(this.#families().flatMap((f) => [...removalLines(f, TABLE), ...removalLines(f, SCRATCH)]));
    const left = await this.#observed(NOTHING);
    const wrong = remaining(NOTHING, left, new Set(FAMILIES));
    if (wrong.length > 0) throw notAsWritten('clean-up left something of ours behind', wrong);
    if (before) await this.#removeFlows(flowChanges(NOTHING, { ...left, tables: before }).map((s) => s.match));
  }

  /** What forwards there are, for their flows. A table that cannot be read must go all the same. */
  async #carried(): Promise<ObservedTables | undefined> {
    try {
      return (await this.#tables(NOTHING, { anyVersion: true })).tables;
    } catch (error) {
      this.#flowTrouble.looking = AppError.from(error).message;
      return undefined;
    }
  }

  async #observed(base: Rendered): Promise<Observed> {
    const filters = await this.#filters.read();
    const { tables, generation } = await this.#tables(base);
    return {
      at: this.#now(),
      base,
      tables,
      filters,
      ...(await this.#forwardingNow()),
      ...(generation === undefined ? {} : { generation }),
      read: true,
      ...this.#trouble(),
    };
  }

  /** Nobody changed anything of nftables since the tables were read. */
  async #aroundTables(before: Observed): Promise<Observed> {
    const filters = await this.#filters.read();
    return { ...withoutTrouble(before), at: this.#now(), filters, ...(await this.#forwardingNow()), ...this.#trouble() };
  }

  async #tables(
    base: Rendered,
    { anyVersion = false } = {},
  ): Promise<{ readonly tables: ObservedTables; readonly generation?: number }> {
    const layout = this.#abilities;
    const families = this.#families();
    const references = await Promise.all(families.map(async (f) => [f, await this.#nft.reference(f, layout)] as const));
    const { listings, generation } = await this.#nft.read(families, () => expectedOf(base));
    const tables: Record<Family, ObservedTable | undefined> = { 4: undefined, 6: undefined };
    for (const [family, reference] of references) {
      const listing = listings[family];
      if (!listing) continue;
      const newer = newerVersion(listing);
      if (newer !== undefined && !anyVersion) throw madeByNewer(family, newer);
      tables[family] = observeTable(family, listing, { reference, layout, at: this.#now() });
    }
    return { tables, ...(generation === undefined ? {} : { generation }) };
  }

  #families(): readonly Family[] {
    return this.#abilities.ipv6 ? FAMILIES : [4];
  }

  async #forwardingNow(): Promise<Pick<Observed, 'forwarding' | 'forwarding6'>> {
    const [four, six] = [await this.#forwarding[4]?.read(), await this.#forwarding[6]?.read()];
    return { forwarding: four ?? { on: true, ours: false }, ...(six ? { forwarding6: six } : {}) };
  }

  /** The rules are in place by now; flows that could not be removed are a condition, no reason to undo or repeat them. */
  async #removeFlows(wanted: readonly FlowMatch[]): Promise<void> {
    if (wanted.length === 0) return;
    try {
      await this.#flows.table.remove(wanted);
      delete this.#flowTrouble.removing;
    } catch (error) {
      this.#flowTrouble.removing = AppError.from(error).message;
    }
  }

  #trouble(): { flowTrouble?: string } {
    const trouble = this.#flowTrouble.removing ?? this.#flowTrouble.looking;
    return trouble === undefined ? {} : { flowTrouble: trouble };
  }
}

function withoutTrouble({ flowTrouble: _, ...observed }: Observed): Observed {
  return observed;
}

const madeByNewer = (family: Family, version: number) =>
  new AppError({
    code: 'FAILED_PRECONDITION',
    reason: 'LAYOUT_NEWER',
    message: `the table ${tableName(family)} was made by a newer gwctl-agent (layout ${version}, this one knows ${VERSION}); start that one, or remove the table with "gwctl-agent cleanup"`,
    metadata: { version: String(version) },
  });
