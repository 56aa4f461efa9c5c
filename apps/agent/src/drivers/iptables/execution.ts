import type { Family } from '@gwctl/shared/domain/ip';
import { AppError } from '@gwctl/shared/errors/app-error';
import { type Flow, type FlowMatch, type FlowTable, isAlive, matches } from '../../system/conntrack.js';
import type { PacketsUnderWay } from '../../system/under-way.js';
import { diffRules, wantedOf } from './diff.js';
import type { ForwardingSwitch } from './driver.js';
import { MARK_BIT, TABLES, type TableName } from './layout.js';
import { type FamilyObserved, type Observed, observeChains, observeTables, onlyAccepts } from './observe.js';
import { withCompanion } from './other-filters.js';
import type { ForeignFilters } from './other-filters-reader.js';
import type { FamilyRendered } from './render.js';
import type { CompanionStep, IptablesPlan, IptablesStep, RulesStep, VerifyStep } from './steps.js';
import { type Batch, type IptablesTables, touchedChains } from './tables.js';

export interface ExecutionOptions {
  readonly tables: (family: Family) => IptablesTables;
  readonly forwarding: (family: Family) => ForwardingSwitch;
  readonly flows: FlowTable;
  readonly filters: ForeignFilters;
  readonly underWay: PacketsUnderWay;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Takes everything away although flows may be alive. */
  readonly waitForNobody?: boolean;
}

/** Carries out one plan. */
export class Execution {
  readonly #options: ExecutionOptions;
  readonly #flows: FlowMatch[] = [];
  readonly #idle = new Map<Family, boolean>();
  #pending: RulesStep[] = [];
  #now: Observed | undefined;
  /** Undefined until flows were asked for; `trouble`: why they could not be removed, or undefined. */
  flowsDone: { readonly trouble: string | undefined } | undefined;

  constructor(options: ExecutionOptions) {
    this.#options = options;
  }

  /** In order. Throws at the first step that fails. Gives what is known to be there afterwards. */
  async run(plan: IptablesPlan, before: Observed | undefined): Promise<Observed | undefined> {
    this.#now = before;
    for (const step of plan.steps) await this.#execute(step);
    await this.#removeFlows();
    return this.#now;
  }

  async #execute(step: IptablesStep): Promise<void> {
    switch (step.kind) {
      case 'rules':
        if (this.#mayLeave(step)) this.#pending.push(step);
        return;
      case 'let-pass':
        await this.#write(step.family);
        await this.#options.underWay();
        return;
      case 'look-for-flows':
        this.#idle.set(step.family, this.#options.waitForNobody === true || (await this.#isIdle(step.family, step.ignoring)));
        return;
      case 'ip-forward':
        await this.#write(step.family);
        if (step.to === 'on') await this.#options.forwarding(step.family).turnOn();
        else if (this.#mayLeave(step)) await this.#options.forwarding(step.family).restore();
        return;
      case 'companion':
        if (this.#mayLeave(step)) await this.#companion(step);
        return;
      case 'verify':
        await this.#writeAndVerify(step);
        return;
      case 'flows':
        this.#flows.push(step.match);
        return;
    }
  }

  #mayLeave({ family, onlyWhenIdle }: { readonly family: Family; readonly onlyWhenIdle?: boolean }): boolean {
    return onlyWhenIdle !== true || this.#idle.get(family) !== false;
  }

  async #companion(step: CompanionStep): Promise<void> {
    await this.#options.filters.place(step);
    if (this.#now) this.#now = { ...this.#now, filters: withCompanion(this.#now.filters, step) };
  }

  async #writeAndVerify({ family, expect, tables: written, lingering }: VerifyStep): Promise<void> {
    await this.#write(family);
    const before = this.#now?.families.find((f) => f.family === family);
    // Without knowing what was there before, all is read.
    const tables = before?.tables ?? observeTables(await this.#options.tables(family).read(TABLES));
    const forwarding = await this.#options.forwarding(family).read();
    const seen: FamilyObserved = { family, tables, forwarding, ...(lingering ? { lingering } : {}) };
    // What flows still live on is not wrong.
    const kept = this.#idle.get(family) === false;
    const wrong = diffRules(expect, seen).filter((s) => written.includes(s.table) && !(kept && s.table === 'filter'));
    if (wrong.length > 0) throw notAsWritten('what was written does not read back as written', wrong);
    if (!this.#now) return;
    const families = this.#now.families.map((f) => (f.family === family ? settled(seen, expect) : f));
    this.#now = { ...this.#now, at: this.#options.now(), families };
  }

  /** Writes what waits, and reads back what that touched. */
  async #write(family: Family): Promise<void> {
    const writing = batches(this.#pending);
    if (writing.length === 0) return;
    this.#pending = [];
    const read = await this.#options.tables(family).write(writing);
    const gone = new Map([...touchedChains(writing)].map(([table, chains]) => [table, chains.gone]));
    if (!this.#now) return;
    const families = this.#now.families.map((f): FamilyObserved => {
      if (f.family !== family) return f;
      const { as: _, ...known } = f;
      return { ...known, tables: observeChains(f.tables, read, gone) };
    });
    this.#now = { ...this.#now, families };
  }

  async #isIdle(family: Family, ignoring: readonly FlowMatch[]): Promise<boolean> {
    const { alive, trouble } = await liveFlows(this.#options.flows, family);
    if (trouble !== undefined) this.flowsDone = { trouble };
    return !alive.some((f) => !ignoring.some((m) => matches(f, m)));
  }

  /** The rules are in place by now; flows that could not be removed are a condition, no reason to undo or repeat them. */
  async #removeFlows(): Promise<void> {
    if (this.#flows.length === 0) return;
    try {
      await this.#options.flows.remove(this.#flows);
      this.flowsDone = { trouble: undefined };
    } catch (error) {
      this.flowsDone = { trouble: AppError.from(error).message };
    }
  }
}

/** The forwarded flows of a family that are still alive; none where it cannot be told, for nothing of ours may stay for ever. */
export async function liveFlows(
  flows: FlowTable,
  family: Family,
): Promise<{ readonly alive: readonly Flow[]; readonly trouble?: string }> {
  try {
    const marked = await flows.marked(MARK_BIT);
    return { alive: marked.filter((f) => (f.family ?? 4) === family && isAlive(f) && isForwarded(f)) };
  } catch (error) {
    return { alive: [], trouble: AppError.from(error).message };
  }
}

/** Flows of an egress keep their destination. Pings end by themselves. */
const isForwarded = ({ protocol, original, reply }: Flow): boolean =>
  original.destination !== reply.source && protocol !== 1 && protocol !== 58;

/** What was found equal to what was rendered is kept as that. */
function settled(seen: FamilyObserved, expect: FamilyRendered): FamilyObserved {
  const wanted = wantedOf(expect, seen);
  const tables = { ...seen.tables };
  let whole = true;
  for (const name of TABLES) {
    const { hooks, chains } = seen.tables[name];
    // Flows that are still alive keep their acceptance after the last forward.
    if (chains.size !== wanted.tables[name].chains.size) whole = false;
    else tables[name] = { hooks, chains: wanted.tables[name].chains };
  }
  const { lingering: _, ...known } = seen;
  return { ...known, tables, ...(whole ? { as: expect } : {}), ...(onlyAccepts(tables) ? { lingering: true } : {}) };
}

/** Consecutive steps of one table make one transaction. */
function batches(steps: readonly RulesStep[]): Batch[] {
  const all: { table: TableName; lines: string[] }[] = [];
  for (const { table, lines } of steps) {
    const last = all.at(-1);
    if (last?.table !== table) all.push({ table, lines: [...lines] });
    else for (const line of lines) last.lines.push(line);
  }
  return all;
}

export const notAsWritten = (what: string, steps: readonly { readonly title: string }[]) =>
  new AppError({
    code: 'ABORTED',
    reason: 'NOT_AS_WRITTEN',
    message: `${what}, perhaps because another program changes the same tables; still to do: ${steps
      .map((s) => s.title)
      .join('; ')
      .slice(0, 400)}`,
  });
