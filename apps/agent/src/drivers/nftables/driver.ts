import { AppError } from '@gwctl/shared/errors/app-error';
import type { HostDesired } from '../../planner/types.js';
import { type FlowMatch, type FlowTable, matches } from '../../system/conntrack.js';
import type { IpForwarding } from '../../system/ip-forwarding.js';
import type { LiveFlows } from '../../system/live-flows.js';
import type { RuleWatch } from '../../system/rule-watch.js';
import type { Detection, Driver, DriverCondition, DriverName } from '../driver.js';
import { become, linesOf } from './changes.js';
import { conditions } from './conditions.js';
import { diff, remaining } from './diff.js';
import { drift } from './drift.js';
import type { Filters } from './filter-programs.js';
import { VARIANTS } from './filters.js';
import { flowChanges } from './flow-changes.js';
import { removalLines, SCRATCH, TABLE, VERSION } from './layout.js';
import type { NftTable } from './nft.js';
import { newerVersion, type Observed, type ObservedTable, observeTable } from './observe.js';
import { type Rendered, render } from './render.js';
import type { LookForFlowsStep, NftablesPlan, NftablesStep, ReleaseStep, TableStep, VerifyStep } from './steps.js';

/** Forwarding of the host as this driver needs it. */
export type ForwardingSwitch = Pick<IpForwarding, 'read' | 'turnOn' | 'restore'>;

/** What all executors of one plan share. */
interface Run {
  readonly before: Observed | undefined;
  /** The table as it will be once what is pending is written. */
  table: ObservedTable | undefined;
  /** Not yet written, so that all of it is one transaction. */
  pending: TableStep[];
  /** How many transactions were ours. */
  written: number;
  /** Whether a filter of others was changed. */
  placed: boolean;
  /** Ways that flows live on. */
  readonly alive: Set<string>;
  readonly flows: FlowMatch[];
}

/** The table `ip gwctl` of nftables. The README beside this file says what is in it, and why. */
export class NftablesDriver implements Driver<Rendered, Observed, NftablesStep> {
  readonly name: DriverName = 'nftables';
  readonly capabilities = {
    families: [4],
    protocols: ['tcp', 'udp'],
    portRanges: false,
    severalTargets: false,
    announce: false,
    kind: 'kernel',
  } as const;
  readonly watch?: RuleWatch;
  readonly #nft: NftTable;
  readonly #filters: Filters;
  readonly #forwarding: ForwardingSwitch;
  readonly #flows: { readonly table: Pick<FlowTable, 'remove'>; readonly live: LiveFlows };
  readonly #now: () => number;
  #mirror: Observed | undefined;
  /** Why flows could last not be removed, and why it could last not be seen whether there are any. */
  readonly #flowTrouble: { removing?: string; looking?: string } = {};

  /** `now`: milliseconds since the epoch. `watch`: only where the kernel announces changes. */
  constructor(options: {
    readonly nft: NftTable;
    readonly filters: Filters;
    readonly forwarding: ForwardingSwitch;
    readonly flows: { readonly table: Pick<FlowTable, 'remove'>; readonly live: LiveFlows };
    readonly host: { readonly now: () => number; readonly watch?: RuleWatch | undefined };
  }) {
    this.#nft = options.nft;
    this.#filters = options.filters;
    this.#forwarding = options.forwarding;
    this.#flows = options.flows;
    this.#now = options.host.now;
    if (options.host.watch) this.watch = options.host.watch;
  }

  async detect(): Promise<Detection> {
    try {
      await this.#nft.tryOut();
      return { supported: true, detail: 'nftables: the kernel accepted every chain, map and rule that gwctl uses' };
    } catch (error) {
      return { supported: false, detail: AppError.from(error).message };
    }
  }

  render(desired: HostDesired): Rendered {
    return render(desired);
  }

  async observe(): Promise<Observed> {
    this.#mirror = undefined;
    this.#mirror = await this.#observed();
    return this.#mirror;
  }

  mirror(): Observed | undefined {
    return this.#mirror;
  }

  diff(rendered: Rendered, observed: Observed): NftablesPlan {
    return diff(rendered, observed);
  }

  drift(applied: Rendered, observed: Observed) {
    return drift(applied, observed);
  }

  conditions(observed: Observed): readonly DriverCondition[] {
    return conditions(observed);
  }

  async apply(plan: NftablesPlan): Promise<void> {
    if (plan.steps.length === 0) return;
    const before = this.#mirror;
    this.#mirror = undefined;
    const run: Run = { before, table: before?.table, pending: [], written: 0, placed: false, alive: new Set(), flows: [] };
    let after = before;
    for (const step of plan.steps) {
      if (step.kind === 'verify') after = await this.#verified(step, run);
      else await this.#execute(step, run);
    }
    await this.#removeFlows(run.flows);
    // A plan without changes of rules still changes what is known of forwarding and flows.
    this.#mirror = after && { ...withoutTrouble(after), forwarding: await this.#forwarding.read(), ...this.#trouble() };
  }

  async cleanUp(): Promise<void> {
    this.#mirror = undefined;
    const before = await this.#carried();
    await this.#forwarding.restore();
    const filters = await this.#filters.read();
    for (const variant of VARIANTS) {
      const present = filters[variant]?.companions ?? 0;
      if (present > 0) await this.#filters.place(variant, false, present);
    }
    await this.#nft.write([...removalLines(TABLE), ...removalLines(SCRATCH)]);
    const left = await this.#observed();
    const nothing = render({ forwards: [], protected: [] });
    const wrong = remaining(nothing, left, true);
    if (wrong.length > 0) throw notAsWritten('clean-up left something of ours behind', wrong);
    await this.#removeFlows(flowChanges(nothing, before, []).map((s) => s.match));
  }

  /** What forwards there are, for their flows. A table that cannot be read must go all the same. */
  async #carried(): Promise<ObservedTable | undefined> {
    try {
      const { listing } = await this.#nft.read();
      return listing && observeTable(listing, await this.#nft.reference());
    } catch (error) {
      this.#flowTrouble.looking = AppError.from(error).message;
      return undefined;
    }
  }

  async #execute(step: Exclude<NftablesStep, VerifyStep>, run: Run): Promise<void> {
    const idle = run.alive.size === 0;
    switch (step.kind) {
      case 'elements':
      case 'rebuild':
      case 'closed':
        return this.#pend(step, run);
      case 'remove-table':
        return idle ? this.#pend(step, run) : undefined;
      case 'look-for-flows':
        for (const way of await this.#alive(step)) run.alive.add(way);
        return;
      case 'release':
        for (const one of released(step, run.alive)) this.#pend(one, run);
        return;
      case 'companion':
        if (!idle && step.onlyWhenIdle) return;
        await this.#write(run);
        await this.#filters.place(step.variant, step.wanted, step.present);
        run.placed = true;
        return;
      case 'ip-forward':
        if (step.to === 'on') await this.#forwarding.turnOn();
        else if (idle || !step.onlyWhenIdle) await this.#forwarding.restore();
        return;
      case 'flows':
        run.flows.push(step.match);
        return;
    }
  }

  #pend(step: TableStep, run: Run): void {
    run.table = become(run.table, step);
    // What the table held before no longer matters when it goes or comes anew.
    if (step.kind === 'remove-table' || step.kind === 'rebuild') run.pending = [];
    run.pending.push(step);
  }

  async #write(run: Run): Promise<void> {
    if (run.pending.length === 0) return;
    await this.#nft.write(run.pending.flatMap(linesOf));
    run.pending = [];
    run.written++;
  }

  /**
   * The kernel carries out a transaction as a whole and counts it. So where the count is exactly ours above that of the mirror, nobody
   * else changed anything since, and the table is the mirror with our changes: no listing could tell more. Otherwise everything is read
   * back and compared.
   */
  async #verified({ expect }: VerifyStep, run: Run): Promise<Observed> {
    await this.#write(run);
    const { before } = run;
    const generation = this.#nft.generation();
    const exact = before?.generation !== undefined && generation === before.generation + run.written;
    if (before && exact && !run.placed) {
      const { table: _, ...rest } = before;
      return { ...rest, at: this.#now(), generation, ...(run.table ? { table: run.table } : {}) };
    }
    const observed = await this.#observed();
    const wrong = remaining(expect, observed, run.alive.size === 0);
    if (wrong.length > 0) throw notAsWritten('what was written does not read back as written', wrong);
    return observed;
  }

  async #observed(): Promise<Observed> {
    const [reference, filters] = await Promise.all([this.#nft.reference(), this.#filters.read()]);
    const { listing, generation } = await this.#nft.read();
    const newer = listing && newerVersion(listing);
    if (newer !== undefined) throw madeByNewer(newer);
    return {
      at: this.#now(),
      ...(listing ? { table: observeTable(listing, reference) } : {}),
      filters,
      forwarding: await this.#forwarding.read(),
      ...(generation === undefined ? {} : { generation }),
      ...this.#trouble(),
    };
  }

  async #alive({ ways, ignoring }: LookForFlowsStep): Promise<string[]> {
    try {
      const flows = (await this.#flows.live.among(ways.map((w) => w.flows))).filter((f) => !ignoring.some((m) => matches(f, m)));
      delete this.#flowTrouble.looking;
      return ways.filter((w) => flows.some((f) => matches(f, w.flows))).map(nameOf);
    } catch (error) {
      // Without knowing, the ways would stay for ever; nothing of ours may.
      this.#flowTrouble.looking = AppError.from(error).message;
      return [];
    }
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

const nameOf = (way: { readonly set: string; readonly key: string }) => `${way.set} ${way.key}`;

function withoutTrouble({ flowTrouble: _, ...observed }: Observed): Observed {
  return observed;
}

/** The elements that no flow lives on, set by set. */
function released({ ways, title }: ReleaseStep, alive: ReadonlySet<string>): TableStep[] {
  const idle = Map.groupBy(
    ways.filter((w) => !alive.has(nameOf(w))),
    (w) => w.set,
  );
  return [...idle].map(([set, own]) => ({
    kind: 'elements',
    title,
    forwards: [],
    set,
    removed: own.map((w) => w.key),
    added: new Map(),
  }));
}

const notAsWritten = (what: string, titles: readonly string[]) =>
  new AppError({
    code: 'ABORTED',
    reason: 'NOT_AS_WRITTEN',
    message: `${what}, perhaps because another program changes the same table; still to do: ${titles.join('; ').slice(0, 400)}`,
  });

const madeByNewer = (version: number) =>
  new AppError({
    code: 'FAILED_PRECONDITION',
    reason: 'LAYOUT_NEWER',
    message: `the table ip ${TABLE} was made by a newer gwctl-agent (layout ${version}, this one knows ${VERSION}); start that one, or remove the table with "gwctl-agent cleanup"`,
    metadata: { version: String(version) },
  });
