import { AppError } from '@gwctl/shared/errors/app-error';
import type { Logger } from '@gwctl/shared/logging/logger';
import type { Clock, Random } from '../clock.js';
import type { Found } from '../control-link/outbox.js';
import type { DesiredView } from '../desired/types.js';
import type { Driver, Step } from '../drivers/driver.js';
import type { HostDesired, HostFacts, PlacedForward } from '../planner/types.js';
import type { Conditions } from '../status/conditions.js';
import { DriftLog } from './drift-log.js';
import { FlapGuard } from './flap-guard.js';
import { isolate } from './isolate.js';
import { type Judged, judge, type PlanForwards, type PolicyCheck } from './judge.js';
import type { AgentEvent } from './placement-status.js';
import { type Circumstances, Placements } from './placements.js';
import { Quarantine } from './quarantine.js';
import { Triggers } from './triggers.js';

export interface ReconcilerOptions {
  readonly driver: Driver;
  readonly planner: { readonly facts: () => Promise<HostFacts>; readonly plan: PlanForwards; readonly policy: PolicyCheck };
  readonly desired: { view(): DesiredView; onChange(listener: () => void): void };
  readonly sink: { report(found: Found): void; event(event: AgentEvent): void; readonly conditions: Conditions };
  readonly runtime: { readonly clock: Clock; readonly random: Random; readonly log: Logger };
}

/** What one look at everything came to. */
interface Look {
  readonly view: DesiredView;
  readonly judged: Judged;
  /** What is to be on the host: what was judged, less what the driver refused. */
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
  private carried: ReadonlyMap<string, PlacedForward> = new Map();
  private found: Found = { statuses: new Map(), applied: undefined };

  constructor(private readonly options: ReconcilerOptions) {
    const { clock } = options.runtime;
    const { driver } = options;
    this.placements = new Placements({ driver: driver.name, clock });
    this.drifts = new DriftLog({ clock, nameOf: (uid) => this.found.statuses.get(uid)?.name ?? uid });
    this.guard = new FlapGuard({ clock });
    this.quarantine = new Quarantine({ clock });
    this.triggers = new Triggers({ ...options.runtime, driver, request: (mode) => this.request(mode) });
  }

  /** Brings the host in line with what is known, if anything is, and keeps it so until {@link stop}. */
  start(): void {
    this.options.desired.onChange(() => this.request('fast'));
    this.triggers.start(() => this.guard.truce() > 0);
    this.request('full');
  }

  /** Finishes the pass that runs, and touches nothing any more. The rules stay: forwarding does not depend on this process. */
  async stop(): Promise<void> {
    this.stopped = true;
    this.triggers.stop();
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

  private async look(view: DesiredView): Promise<Look> {
    const { facts: read, plan, policy } = this.options.planner;
    const facts = await read();
    const now = this.options.runtime.clock.now();
    const judged = judge({ entries: view.entries, facts, now, plan, policy, carried: this.carried });
    this.triggers.planned(view, judged, now);
    return { view, judged, wanted: this.quarantine.without(judged.host) };
  }

  private async bringInLine(look: Look, mode: 'fast' | 'full'): Promise<void> {
    const { driver } = this.options;
    const mirror = mode === 'fast' && this.rendered !== undefined ? driver.mirror() : undefined;
    const began = this.options.runtime.clock.monotonic();
    const observed = mirror ?? (await driver.observe());
    if (mirror === undefined) this.triggers.observed(this.options.runtime.clock.monotonic() - began);
    if (mirror === undefined) this.noticeDrift(observed);
    if (this.guard.truce() > 0 && !this.isNew(look.view)) return this.report(look, undefined);
    const rendered = driver.render(look.wanted);
    const plan = driver.diff(rendered, observed);
    if (plan.steps.length > 0) {
      await driver.apply(plan);
      this.triggers.wrote();
      const done = { revision: look.view.revision, count: plan.steps.length, steps: plan.steps.slice(0, 20).map((s) => s.title) };
      this.options.runtime.log[this.isNew(look.view) ? 'info' : 'debug'](done, 'applied');
    }
    this.succeeded(look, rendered);
  }

  private isNew({ epoch, revision }: DesiredView): boolean {
    const { applied } = this.found;
    return applied?.epoch !== epoch || applied.revision !== revision;
  }

  /** Says what is not as it was left, and counts who it was. */
  private noticeDrift(observed: unknown): void {
    const { driver, sink, runtime } = this.options;
    if (this.rendered === undefined) return;
    const drift = driver.drift(this.rendered, observed);
    if (drift.length === 0) return;
    const process = this.triggers.changedBy();
    for (const event of this.drifts.detected(drift, [...this.carried.keys()], process)) {
      runtime.log.warn({ uid: event.uid, reason: event.reason }, event.message);
      sink.event(event);
    }
    const culprit = process ?? drift.find((d) => d.drift.process !== undefined)?.drift.process ?? 'an unknown process';
    if (this.guard.tooMany(culprit)) {
      const message = `${culprit} keeps changing what this agent repairs; it is left alone for ${Math.round(this.guard.truce() / 1000)} s. Find out why, and stop one of the two`;
      runtime.log.error({ reason: 'CONTESTED' }, message);
      sink.conditions.raise('Uncontested', 'CONTESTED', message);
      this.triggers.truce(this.guard.truce());
    }
  }

  private succeeded(look: Look, rendered: unknown): void {
    const { sink, driver } = this.options;
    this.failures = 0;
    this.rendered = rendered;
    this.carried = new Map(look.wanted.forwards.map((f) => [f.uid, f]));
    for (const event of this.drifts.repaired()) {
      this.options.runtime.log.info({ uid: event.uid, reason: event.reason }, event.message);
      sink.event(event);
    }
    sink.conditions.clear('Applied', 'the host matches the desired state');
    if (this.guard.truce() === 0) sink.conditions.clear('Uncontested', 'nobody undoes what this agent does');
    const observed = driver.mirror();
    if (observed !== undefined) sink.conditions.setFound(driver.conditions(observed));
    const { epoch, revision } = look.view;
    this.report(look, undefined, { epoch, revision });
  }

  /** `missing`: why the forwards with these keys, or all of them, are not as wanted. */
  private report(
    look: Look,
    missing: { readonly keys: ReadonlySet<string> | 'all'; readonly message: string } | undefined,
    applied = this.found.applied,
  ): void {
    const keyOf = new Map(look.wanted.forwards.map((f) => [f.uid, f.key]));
    const contested =
      this.guard.truce() > 0 ? { message: 'its rules are being undone by another process, see the gateway' } : undefined;
    const circumstances = (uid: string): Circumstances => {
      const quarantined = this.quarantine.of(uid);
      const drift = this.drifts.of(uid);
      const key = keyOf.get(uid);
      const notApplied = missing && (missing.keys === 'all' || (key !== undefined && missing.keys.has(key)));
      return {
        ...(quarantined ? { quarantined } : {}),
        ...(notApplied ? { notApplied: { message: missing.message } } : {}),
        ...(contested && drift && drift.repaired === undefined ? { contested } : {}),
        ...(drift ? { drift } : {}),
      };
    };
    const statuses = this.placements.build(look.judged.judgements, circumstances);
    this.drifts.keep(statuses);
    this.found = { statuses, applied };
    this.options.sink.report(this.found);
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
      return this.report(look, { keys: 'all', message: failure.message });
    }
    const keys = new Set(missing.flatMap((s) => s.forwards));
    if (this.failures >= 2 && (await this.isolated(look, keys))) return;
    this.report(look, { keys: missing.length > 0 && keys.size === 0 ? 'all' : keys, message: failure.message });
  }

  private async isolated(look: Look, keys: ReadonlySet<string>): Promise<boolean> {
    const { driver, runtime } = this.options;
    const suspects = new Set(look.wanted.forwards.filter((f) => keys.has(f.key)).map((f) => f.uid));
    const result = await isolate({
      wanted: look.wanted,
      suspects,
      before: this.carried,
      attempt: async (host) => {
        try {
          const plan = driver.diff(driver.render(host), driver.mirror() ?? (await driver.observe()));
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
        this.carried.get(uid),
      );
    }
    const settled = result.bad.size > 0 || result.applied.forwards.length === look.wanted.forwards.length;
    if (settled) this.succeeded({ ...look, wanted: result.applied }, driver.render(result.applied));
    return settled;
  }
}

const said = (error: unknown): string => (error instanceof Error ? error.message : String(error));
