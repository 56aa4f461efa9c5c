import { AppError } from '@gwctl/shared/errors/app-error';
import type { HostDesired } from '../../planner/types.js';
import { type FlowMatch, type FlowTable, isAlive, matches } from '../../system/conntrack.js';
import type { IpForwarding } from '../../system/ip-forwarding.js';
import type { RuleWatch } from '../../system/rule-watch.js';
import type { Detection, Driver, DriverCondition, DriverName } from '../driver.js';
import { conditions } from './conditions.js';
import { diff, diffRules } from './diff.js';
import { drift } from './drift.js';
import { flowChanges } from './flow-changes.js';
import { MARK_BIT, TABLES, type TableName } from './layout.js';
import { type Observed, observeChains, observeTables } from './observe.js';
import { type Rendered, render } from './render.js';
import type { FlowsStep, IptablesPlan, IptablesStep, RulesStep, VerifyStep } from './steps.js';
import { type Batch, type IptablesTables, touchedChains } from './tables.js';

/** Forwarding of the host as this driver needs it. */
export type ForwardingSwitch = Pick<IpForwarding, 'read' | 'turnOn' | 'restore'>;

/** What all executors of one plan share. */
interface Run {
  /** No flow of ours is alive; known after `look-for-flows`. */
  idle: boolean;
  /** Rules not yet written, so that all of them go in one process. */
  pending: RulesStep[];
  flows: FlowsStep[];
}

/** Both variants of iptables. The README beside this file says what it puts where, and why. */
export class IptablesDriver implements Driver<Rendered, Observed, IptablesStep> {
  readonly name: DriverName;
  readonly capabilities = {
    families: [4],
    protocols: ['tcp', 'udp'],
    portRanges: false,
    severalTargets: false,
    announce: false,
    kind: 'kernel',
  } as const;
  readonly watch?: RuleWatch;
  readonly #tables: IptablesTables;
  readonly #forwarding: ForwardingSwitch;
  readonly #flows: FlowTable;
  readonly #now: () => number;
  #mirror: Observed | undefined;
  #flowTrouble: string | undefined;

  /** `now`: milliseconds since the epoch. `watch`: only where the kernel announces changes. */
  constructor(options: {
    readonly tables: IptablesTables;
    readonly forwarding: ForwardingSwitch;
    readonly flows: FlowTable;
    readonly now: () => number;
    readonly watch?: RuleWatch | undefined;
  }) {
    this.name = `iptables-${options.tables.variant}`;
    this.#tables = options.tables;
    this.#forwarding = options.forwarding;
    this.#flows = options.flows;
    this.#now = options.now;
    if (options.watch) this.watch = options.watch;
  }

  async detect(): Promise<Detection> {
    try {
      await this.#tables.tryOut();
      return { supported: true, detail: `${this.name}: every match and target that gwctl uses was accepted in a scratch chain` };
    } catch (error) {
      return { supported: false, detail: AppError.from(error).message };
    }
  }

  render(desired: HostDesired): Rendered {
    return render(desired);
  }

  async observe(): Promise<Observed> {
    this.#mirror = undefined;
    this.#mirror = await this.#observed(observeTables(await this.#tables.read(TABLES)));
    return this.#mirror;
  }

  mirror(): Observed | undefined {
    return this.#mirror;
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
    if (plan.steps.length === 0) return;
    const before = this.#mirror;
    this.#mirror = undefined;
    const run: Run = { idle: true, pending: [], flows: [] };
    let after = before;
    for (const step of plan.steps) {
      if (step.kind === 'verify') after = await this.#writeAndVerify(step, run, before);
      else await this.#execute(step, run);
    }
    await this.#removeFlows(run.flows.map((s) => s.match));
    // A plan without rules still changes what is known of forwarding and flows.
    this.#mirror = after && { ...after, forwarding: await this.#forwarding.read(), ...this.#trouble() };
  }

  async cleanUp(): Promise<void> {
    const observed = await this.observe();
    const nothing = render({ forwards: [], protected: [] });
    await this.#forwarding.restore();
    const steps = diffRules(nothing, observed);
    await this.#tables.write(batches(steps));
    const left = diffRules(nothing, await this.observe());
    if (left.length > 0) throw notAsWritten('clean-up left rules of ours behind', left);
    await this.#removeFlows(flowChanges(nothing, observed, steps).map((s) => s.match));
  }

  async #execute(step: Exclude<IptablesStep, VerifyStep>, run: Run): Promise<void> {
    switch (step.kind) {
      case 'rules':
        if (run.idle || !step.onlyWhenIdle) run.pending.push(step);
        return;
      case 'look-for-flows':
        run.idle = await this.#isIdle(step.ignoring);
        return;
      case 'ip-forward':
        if (step.to === 'on') await this.#forwarding.turnOn();
        else if (run.idle || !step.onlyWhenIdle) await this.#forwarding.restore();
        return;
      case 'flows':
        run.flows.push(step);
        return;
    }
  }

  async #writeAndVerify(step: VerifyStep, run: Run, before: Observed | undefined): Promise<Observed> {
    const writing = batches(run.pending);
    run.pending = [];
    const read = writing.length > 0 ? await this.#tables.write(writing) : new Map();
    const gone = new Map([...touchedChains(writing)].map(([table, chains]) => [table, chains.gone]));
    // Without knowing what was there before, all is read.
    const tables = before ? observeChains(before.tables, read, gone) : observeTables(await this.#tables.read(TABLES));
    const observed = await this.#observed(tables);
    const wrong = diffRules(step.expect, observed).filter((s) => step.tables.includes(s.table) && (run.idle || !s.onlyWhenIdle));
    if (wrong.length > 0) throw notAsWritten('what was written does not read back as written', wrong);
    return observed;
  }

  async #observed(tables: Observed['tables']): Promise<Observed> {
    return { at: this.#now(), tables, forwarding: await this.#forwarding.read(), ...this.#trouble() };
  }

  async #isIdle(ignoring: readonly FlowMatch[]): Promise<boolean> {
    try {
      const flows = await this.#flows.marked(MARK_BIT);
      return !flows.some((f) => isAlive(f) && !ignoring.some((m) => matches(f, m)));
    } catch (error) {
      // Without knowing, the acceptance would stay for ever; nothing of ours may.
      this.#flowTrouble = AppError.from(error).message;
      return true;
    }
  }

  /** The rules are in place by now; flows that could not be removed are a condition, no reason to undo or repeat them. */
  async #removeFlows(wanted: readonly FlowMatch[]): Promise<void> {
    if (wanted.length === 0) return;
    try {
      await this.#flows.remove(wanted);
      this.#flowTrouble = undefined;
    } catch (error) {
      this.#flowTrouble = AppError.from(error).message;
    }
  }

  #trouble(): { flowTrouble?: string } {
    return this.#flowTrouble === undefined ? {} : { flowTrouble: this.#flowTrouble };
  }
}

/** Consecutive steps of one table make one transaction. */
function batches(steps: readonly RulesStep[]): Batch[] {
  const all: { table: TableName; lines: string[] }[] = [];
  for (const step of steps) {
    const last = all.at(-1);
    if (last?.table === step.table) last.lines.push(...step.lines);
    else all.push({ table: step.table, lines: [...step.lines] });
  }
  return all;
}

const notAsWritten = (what: string, steps: readonly RulesStep[]) =>
  new AppError({
    code: 'ABORTED',
    reason: 'NOT_AS_WRITTEN',
    message: `${what}, perhaps because another program changes the same tables; still to do: ${steps
      .map((s) => s.title)
      .join('; ')
      .slice(0, 400)}`,
  });
