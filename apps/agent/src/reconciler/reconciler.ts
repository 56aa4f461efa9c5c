import { AppError } from '@gwctl/shared/errors/app-error';
import type { Logger } from '@gwctl/shared/logging/logger';
import type { Clock, Random } from '../clock.js';
import type { Found } from '../control-link/outbox.js';
import type { DesiredView } from '../desired/types.js';
import type { Driver, Step } from '../drivers/driver.js';
import { PartFailure } from '../drivers/part-failure.js';
import type { HealthView, Planner, PolicyCheck } from '../planner/planner.js';
import { SortedList } from '../planner/sorted-list.js';
import type { HostDesired, HostFacts, PlacedForward, Planned, Resolution } from '../planner/types.js';
import type { Conditions } from '../status/conditions.js';
import { blame } from './blame.js';
import { Counting } from './counting.js';
import { DriftLog } from './drift-log.js';
import { FlapGuard } from './flap-guard.js';
import { isolate } from './isolate.js';
import type { AgentEvent } from './placement-status.js';
import { Placements } from './placements.js';
import { Quarantine } from './quarantine.js';
import { type SituationInput, situation } from './situation.js';
import { Triggers } from './triggers.js';

/** What is known of targets and sources that have to be asked for. */
export interface Lookups {
  names(): ReadonlyMap<string, Resolution>;
  readonly health: HealthView;
  /** What the plan asks about from now on. */
  want(planned: Planned, view: DesiredView): void;
  onChange(listener: () => void): void;
}

export interface ReconcilerOptions {
  readonly driver: Driver;
  readonly planner: {
    readonly facts: () => Promise<HostFacts>;
    /** `carried` is asked while it plans: what is on the host of one forward. */
    readonly make: (carried: (uid: string) => PlacedForward | undefined) => Planner;
    /** In force now. */
    readonly policy: () => PolicyCheck;
  };
  readonly lookups: Lookups;
  readonly desired: { view(): DesiredView; onChange(listener: () => void): void };
  readonly sink: { report(found: Found): void; event(event: AgentEvent): void; readonly conditions: Conditions };
  readonly runtime: { readonly clock: Clock; readonly random: Random; readonly log: Logger };
}

/** What one look at everything came to. */
interface Look {
  readonly view: DesiredView;
  readonly planned: Planned;
  /** What is to be on the host: what was planned, less what the driver refused. */
  readonly wanted: HostDesired;
}

/**
 * Makes the host match the desired state and keeps it so: observe, plan, apply, verify, report; one pass at a time. A fast pass starts
 * from the mirror, a full one reads everything back. Where a pass fails, what is on the host stays, and the status says so.
 */
export class Reconciler {
  private readonly placements: Placements;
  private readonly drifts: DriftLog;
  private readonly guard: FlapGuard;
  private readonly quarantine: Quarantine;
  private readonly triggers: Triggers;
  private wanted: 'fast' | 'full' | undefined;
  private running: Promise<void> | undefined;
  private stopped = false;
  private failures = 0;
  /** What was last applied and read back; undefined at the start and after a failure. */
  private rendered: unknown;
  private carried: HostDesired | undefined;
  private carriedList: SortedList<PlacedForward> | undefined;
  private findings: SituationInput['findings'] = new Map();
  private health: SituationInput['health'] = new Map();
  /** Uids of which the health of targets may be another than was last reported. */
  private felt: ReadonlySet<string> = new Set();
  /** Of the last pass: so that what was only counted can be told. */
  private looked: Look | undefined;
  private counted: ReadonlySet<string> = new Set();
  /** What was last reported of drift that is not to be repaired. */
  private leftAlone = '';
  private readonly planner: Planner;
  private readonly counting: Counting;
  private found: Found = { statuses: SortedList.empty(), applied: undefined };

  constructor(private readonly options: ReconcilerOptions) {
    const { clock } = options.runtime;
    const { driver } = options;
    this.placements = new Placements({ driver: driver.name, clock });
    this.drifts = new DriftLog({ clock, nameOf: (uid) => this.nameOf(uid) });
    this.guard = new FlapGuard({ clock });
    this.quarantine = new Quarantine({ clock });
    this.triggers = new Triggers({ ...options.runtime, driver, request: (mode) => this.request(mode) });
    this.planner = options.planner.make((uid) => this.carriedForward(uid));
    this.counting = new Counting({
      ...options.runtime,
      driver,
      carried: () => this.carried,
      onCounted: (changed) => {
        this.counted = changed;
        if (this.looked && !this.running) this.report(this.looked, undefined);
      },
    });
  }

  /** Brings the host in line with what is known, if anything is, and keeps it so until {@link stop}. */
  start(): void {
    this.options.desired.onChange(() => this.request('fast'));
    this.options.lookups.onChange(() => this.request('fast'));
    this.counting.start();
    this.triggers.start(() => this.guard.truce() > 0);
    this.request('full');
  }

  /** Finishes the pass that runs, and touches nothing any more. The rules stay: forwarding does not depend on this process. */
  async stop(): Promise<void> {
    this.stopped = true;
    this.triggers.stop();
    this.counting.stop();
    await this.running;
  }

  request(mode: 'fast' | 'full'): void {
    if (this.stopped) return;
    this.wanted = mode === 'full' || this.wanted === 'full' ? 'full' : 'fast';
    this.running ??= this.loop();
  }

  /** What is known to be on the host, and since which revision. */
  status(): Found {
    return this.found;
  }

  private async loop(): Promise<void> {
    // What is asked for in the same breath is one pass.
    await Promise.resolve();
    while (this.wanted && !this.stopped) {
      const mode = this.wanted;
      this.wanted = undefined;
      try {
        await this.pass(mode);
      } catch (error) {
        this.options.runtime.log.error({ err: error }, 'a reconcile ended in a way that nobody foresaw; it is tried again');
        this.triggers.retry(++this.failures);
      }
    }
    this.running = undefined;
  }

  private async pass(mode: 'fast' | 'full'): Promise<void> {
    const view = this.options.desired.view();
    // Nothing is removed from the host before a whole snapshot is known, and nothing can be added.
    if (!view.complete) return;
    let look: Look | undefined;
    try {
      look = await this.look(view);
      await this.bringInLine(look, mode);
    } catch (error) {
      await this.failed(error, look);
    }
  }

  private nameOf(uid: string): string {
    const status = this.found.statuses.get(uid);
    return `${status?.egress === undefined ? 'forward' : 'egress'} ${status?.name ?? uid}`;
  }

  /** What this process knows to be on the host of one forward. */
  private carriedForward(uid: string): PlacedForward | undefined {
    this.carriedList ??= SortedList.from(this.carried?.forwards ?? []);
    return this.carriedList.get(uid);
  }

  private async look(view: DesiredView): Promise<Look> {
    const { lookups, planner, runtime } = this.options;
    const facts = await planner.facts();
    const now = runtime.clock.now();
    const planned = this.planner.plan({
      entries: view.entries,
      facts,
      policy: planner.policy(),
      names: lookups.names(),
      health: { version: lookups.health.version, of: (address, port) => lookups.health.of(address, port) },
      now,
    });
    this.triggers.planned(view, planned, now);
    lookups.want(planned, view);
    return { view, planned, wanted: this.quarantine.without(planned.host) };
  }

  private async bringInLine(look: Look, mode: 'fast' | 'full'): Promise<void> {
    const { driver } = this.options;
    const mirror = mode === 'fast' && this.rendered !== undefined ? driver.mirror() : undefined;
    const began = this.options.runtime.clock.monotonic();
    const observed = mirror ?? (await driver.observe());
    if (mirror === undefined) {
      this.triggers.observed(this.options.runtime.clock.monotonic() - began);
      this.noticeDrift(observed, look.view.settings.driftPolicy === 'repair');
    }
    if (this.rests(look)) return this.report(look, undefined);
    // The same plan as last time, and the host as this process left it.
    if (mirror !== undefined && look.wanted === this.carried) return this.succeeded(look, this.rendered);
    const rendered = driver.render(look.wanted, this.rendered);
    const plan = driver.diff(rendered, observed);
    if (plan.steps.length > 0) {
      await driver.apply(plan);
      this.triggers.wrote();
      const done = { revision: look.view.revision, count: plan.steps.length, steps: plan.steps.slice(0, 20).map((s) => s.title) };
      this.options.runtime.log[this.isNew(look.view) ? 'info' : 'debug'](done, 'applied');
    }
    this.succeeded(look, rendered);
  }

  /** Whether what somebody else did is left as it is: after a quarrel, or because the gateway's settings say so. */
  private rests(look: Look): boolean {
    if (this.isNew(look.view)) return false;
    return this.guard.truce() > 0 || (look.view.settings.driftPolicy === 'report' && this.drifts.isOpen);
  }

  private isNew({ epoch, revision }: DesiredView): boolean {
    const { applied } = this.found;
    return applied?.epoch !== epoch || applied.revision !== revision;
  }

  /** Says what is not as it was left, and counts who it was where it is to be repaired. */
  private noticeDrift(observed: unknown, repair: boolean): void {
    const { driver, sink, runtime } = this.options;
    if (this.rendered === undefined) return;
    const drift = driver.drift(this.rendered, observed);
    const same = JSON.stringify(drift.map(({ forwards, drift: d }) => [forwards, d.cause, d.object, d.message]));
    // What is left alone is found again with every look, and said once.
    const known = !repair && drift.length > 0 && same === this.leftAlone;
    this.leftAlone = repair ? '' : same;
    if (known) return;
    if (drift.length === 0) {
      if (!repair) this.sayRepaired();
      return;
    }
    const process = this.triggers.changedBy();
    const carried = [...(this.carried?.forwards ?? []), ...(this.carried?.relayed ?? []), ...(this.carried?.egresses ?? [])].map(
      (p) => p.uid,
    );
    for (const event of this.drifts.detected(drift, carried, process)) {
      runtime.log.warn({ uid: event.uid, reason: event.reason }, event.message);
      sink.event(event);
    }
    const culprit = process ?? drift.find((d) => d.drift.process !== undefined)?.drift.process ?? 'an unknown process';
    if (repair && this.guard.tooMany(culprit)) {
      const message = `${culprit} keeps changing what this agent repairs; it is left alone for ${Math.round(this.guard.truce() / 1000)} s. Find out why, and stop one of the two`;
      runtime.log.error({ reason: 'CONTESTED' }, message);
      sink.conditions.raise('Uncontested', 'CONTESTED', message);
      this.triggers.truce(this.guard.truce());
    }
  }

  private sayRepaired(): void {
    for (const event of this.drifts.repaired()) {
      this.options.runtime.log.info({ uid: event.uid, reason: event.reason }, event.message);
      this.options.sink.event(event);
    }
  }

  private succeeded(look: Look, rendered: unknown): void {
    const { sink, driver } = this.options;
    this.failures = 0;
    this.rendered = rendered;
    if (this.carried !== look.wanted) {
      this.carried = look.wanted;
      this.carriedList = undefined;
    }
    this.sayRepaired();
    sink.conditions.clear('Applied', 'the host matches the desired state');
    if (this.guard.truce() === 0) sink.conditions.clear('Uncontested', 'nobody undoes what this agent does');
    const observed = driver.mirror();
    if (observed !== undefined) {
      sink.conditions.setFound(driver.conditions(observed));
      this.findings = new Map(
        [...Map.groupBy(driver.findings?.(rendered, observed) ?? [], (f) => f.uid)].map(([uid, all]) => [
          uid,
          all.map(({ condition, instead }) => ({ ...condition, ...(instead ? { instead } : {}) })),
        ]),
      );
    }
    if (observed !== undefined && driver.targetHealth) {
      const before = this.health;
      this.health = driver.targetHealth(observed);
      if (this.health !== before) this.felt = new Set([...before.keys(), ...this.health.keys()]);
    }
    const { epoch, revision } = look.view;
    this.report(look, undefined, { epoch, revision });
  }

  /** `missing`: why the placements with these keys, or all of them, are not as wanted. */
  private report(look: Look, missing: SituationInput['missing'], applied = this.found.applied): void {
    const { counted } = this;
    this.counted = new Set();
    const { felt } = this;
    this.felt = new Set();
    this.looked = look;
    const { statuses, changed } = this.placements.build(
      look.planned.judgements,
      situation({
        wanted: look.wanted,
        missing,
        quarantine: this.quarantine,
        drifts: this.drifts,
        undone: this.undone(look),
        findings: this.findings,
        health: this.health,
        felt,
        counters: this.counting.counters,
        counted,
      }),
    );
    this.drifts.keep(statuses);
    this.found = { statuses, applied, changed };
    this.options.sink.report(this.found);
  }

  private undone(look: Look): SituationInput['undone'] {
    if (this.guard.truce() > 0)
      return { reason: 'CONTESTED', message: 'its rules are being undone by another process, see the gateway' };
    if (look.view.settings.driftPolicy === 'report' && this.drifts.isOpen)
      return {
        reason: 'DRIFT_NOT_REPAIRED',
        message: 'its rules were changed by somebody else, and the settings of this gateway say to report and not to repair that',
      };
    return undefined;
  }

  private async failed(error: unknown, look: Look | undefined): Promise<void> {
    const { runtime, sink } = this.options;
    const failure =
      error instanceof AppError
        ? error
        : new AppError({ code: 'INTERNAL', reason: 'APPLY_FAILED', message: said(error), cause: error });
    this.failures++;
    this.rendered = undefined;
    runtime.log.error({ err: error, failures: this.failures }, 'the host could not be brought in line');
    sink.conditions.raise(
      'Applied',
      'APPLY_FAILED',
      `the host could not be brought in line: ${failure.message}; what was there before goes on, and it is tried again`,
    );
    if (look && !this.stopped) await this.salvage(look, failure);
    this.triggers.retry(this.failures);
  }

  /** After a failure: says what really is, and, where it failed twice, looks for the one forward that spoils it for the others. */
  private async salvage(look: Look, failure: AppError): Promise<void> {
    const { driver } = this.options;
    let missing: readonly Step[];
    try {
      missing = driver.diff(driver.render(look.wanted), await driver.observe()).steps;
    } catch (error) {
      this.options.runtime.log.warn({ err: error }, 'after the failure the host could not be read back either');
      return this.report(look, blame('all', failure));
    }
    const keys = new Set(missing.flatMap((s) => s.forwards));
    if (this.failures >= 2 && (await this.isolated(look, keys))) return;
    this.report(look, blame(missing.length > 0 && keys.size === 0 ? 'all' : keys, failure));
  }

  private async isolated(look: Look, keys: ReadonlySet<string>): Promise<boolean> {
    const { driver, runtime } = this.options;
    const suspects = new Set(look.wanted.forwards.filter((f) => keys.has(f.key)).map((f) => f.uid));
    const result = await isolate({
      wanted: look.wanted,
      suspects,
      before: new Map(this.carried?.forwards.map((f) => [f.uid, f])),
      attempt: async (host) => {
        try {
          const plan = driver.diff(driver.render(host, this.rendered), driver.mirror() ?? (await driver.observe()));
          if (plan.steps.length > 0) await driver.apply(plan);
          return undefined;
        } catch (error) {
          return error instanceof Error ? error : new Error(String(error));
        }
      },
    });
    if (!result) return false;
    for (const [uid, error] of result.bad) {
      runtime.log.error({ err: error, uid }, 'the driver refuses this forward; the others are served');
      this.quarantine.add(
        look.wanted.forwards.find((f) => f.uid === uid),
        error.message,
        this.carriedForward(uid),
      );
    }
    const settled = result.bad.size > 0 || result.applied.forwards.length === look.wanted.forwards.length;
    if (!settled) return false;
    const now = { ...look, wanted: result.applied };
    const { aside } = result;
    if (aside) this.report(now, blame(new Set(now.wanted.relayed.map((f) => f.key)), new PartFailure({ relay: [aside] })));
    else this.succeeded(now, driver.render(result.applied));
    return true;
  }
}

const said = (error: unknown): string => (error instanceof Error ? error.message : String(error));
