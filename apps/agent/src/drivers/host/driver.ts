import type { HostDesired } from '../../planner/types.js';
import type { AddressWatch, LinkEvent } from '../../system/address-watch.js';
import type { Detection, DriftFound, Driver, DriverCondition, DriverName, PlacementFinding, Plan, Step } from '../driver.js';
import { hostConditions } from './conditions.js';
import { hostDiff } from './diff.js';
import { hostDrift } from './drift.js';
import { HostFindings } from './findings.js';
import { Host, type HostParts } from './host.js';
import type { HostObserved, Observed } from './observe.js';
import { type HostNeeds, hostRender, type Rendered } from './render.js';
import { type HostStep, isHostStep } from './steps.js';

type OnChange = Parameters<NonNullable<Driver['watch']>>[0];

/** What the host needs beside rules, around a driver that keeps these. The README beside this file says what, and in which order. */
export class HostDriver<R, O, S extends Step> implements Driver<Rendered<R>, Observed<O>, S | HostStep> {
  readonly name: DriverName;
  readonly capabilities: Driver['capabilities'];
  readonly counters?: NonNullable<Driver['counters']>;
  /** Only where the driver within has one: whoever watches relies on changes of rules being announced. */
  readonly watch?: NonNullable<Driver['watch']>;
  readonly #inner: Driver<R, O, S>;
  readonly #host: Host;
  readonly #addressWatch: AddressWatch | undefined;
  readonly #findings: HostFindings;
  #mirror: HostObserved | undefined;
  /** What was last wanted: tells which announcements of the kernel matter, and of which facts to speak. Changes no answer of diff. */
  #needs: HostNeeds | undefined;

  /** `watch`: of addresses and links, where the kernel announces them. */
  constructor(options: {
    readonly inner: Driver<R, O, S>;
    readonly host: HostParts;
    readonly watch?: AddressWatch | undefined;
  }) {
    const { inner } = options;
    this.#inner = inner;
    this.name = inner.name;
    this.capabilities = { ...inner.capabilities, announce: true };
    this.#host = new Host(options.host);
    this.#addressWatch = options.watch;
    this.#findings = new HostFindings(inner.name);
    if (inner.counters) this.counters = () => inner.counters?.() ?? Promise.resolve(new Map());
    if (inner.watch) this.watch = (onChange) => this.#watched(onChange);
  }

  detect(): Promise<Detection> {
    return this.#inner.detect();
  }

  render(desired: HostDesired, previous?: Rendered<R>): Rendered<R> {
    return { ...hostRender(desired, previous), inner: this.#inner.render(desired, previous?.inner) };
  }

  async observe(): Promise<Observed<O>> {
    this.#mirror = undefined;
    const [inner, host] = await Promise.all([this.#inner.observe(), this.#host.observe()]);
    this.#mirror = host;
    return { inner, host };
  }

  mirror(): Observed<O> | undefined {
    const inner = this.#inner.mirror();
    return inner === undefined || !this.#mirror ? undefined : { inner, host: this.#mirror };
  }

  diff(rendered: Rendered<R>, observed: Observed<O>): Plan<S | HostStep> {
    const host = hostDiff(rendered.needs, observed.host);
    const { steps } = this.#inner.diff(rendered.inner, observed.inner);
    this.#needs = rendered.needs;
    if (host.before.length === 0 && host.after.length === 0) return { steps };
    return { steps: [...host.before, ...steps, ...host.after] };
  }

  /** Addresses go before the rules change, and come after: at no time does one lead to the gateway's own services. */
  async apply(plan: Plan<S | HostStep>): Promise<void> {
    const before = this.#mirror;
    const host = plan.steps.filter(isHostStep);
    const inner = plan.steps.filter((step): step is S => !isHostStep(step));
    if (host.length > 0) this.#mirror = undefined;
    const first = plan.steps.findIndex((step) => !isHostStep(step));
    const early = inner.length === 0 ? host : plan.steps.slice(0, first).filter(isHostStep);
    for (const step of early) await this.#host.carryOut(step);
    if (inner.length > 0) {
      await this.#inner.apply({ steps: inner });
      for (const step of plan.steps.slice(first).filter(isHostStep)) await this.#host.carryOut(step);
    }
    if (host.length > 0 && before) this.#mirror = await this.#host.after(before, host);
  }

  drift(applied: Rendered<R>, observed: Observed<O>): readonly DriftFound[] {
    return [...this.#inner.drift(applied.inner, observed.inner), ...hostDrift(applied, observed.host)];
  }

  conditions(observed: Observed<O>): readonly DriverCondition[] {
    return [...this.#inner.conditions(observed.inner), ...hostConditions(this.#needs, observed.host)];
  }

  findings(applied: Rendered<R>, observed: Observed<O>): readonly PlacementFinding[] {
    const inner = this.#inner.findings?.(applied.inner, observed.inner) ?? [];
    const own = this.#findings.of(applied, observed.host);
    return inner.length === 0 ? own : own.length === 0 ? inner : [...inner, ...own];
  }

  /** Both, whatever becomes of one of them. */
  async cleanUp(): Promise<void> {
    this.#mirror = undefined;
    this.#needs = undefined;
    const results = await Promise.allSettled([this.#host.cleanUp()]);
    await this.#inner.cleanUp();
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }

  /**
   * Tells when a virtual address is gone, an interface that has some comes or goes, or the host no longer forwards; undefined where the
   * kernel does not announce it. For a driver without {@link watch}, which listens to it anyway.
   */
  get watchHost(): NonNullable<Driver['watch']> | undefined {
    const watch = this.#addressWatch;
    if (!watch) return undefined;
    return (onChange) => {
      const running = new Map<string, boolean>();
      return watch((events) => {
        for (const event of events) if (event.kind === 'link') this.#announceAgain(event, running);
        if (this.#matters(events)) onChange({});
      });
    };
  }

  /** Whoever was cut off with the link may meanwhile have learnt another's Ethernet address. */
  #announceAgain(event: LinkEvent & { readonly kind: 'link' }, running: Map<string, boolean>): void {
    const back = event.running && !event.gone && running.get(event.name) === false;
    running.set(event.name, event.running && !event.gone);
    const own = back ? (this.#needs?.announced ?? []).filter((a) => a.interface === event.name) : [];
    if (own.length > 0) void this.#host.announce(own);
  }

  #watched(onChange: OnChange): { close(): void } {
    const watches = [this.#inner.watch?.(onChange), this.watchHost?.(onChange)];
    return {
      close: () => {
        for (const watch of watches) watch?.close();
      },
    };
  }

  #matters(events: readonly LinkEvent[]): boolean {
    const needs = this.#needs;
    if (!needs) return false;
    // Some were lost.
    if (events.length === 0) return true;
    const addresses = new Set(needs.announced.map((a) => a.address.text));
    const interfaces = new Set(needs.announced.map((a) => a.interface));
    return events.some((event) => {
      if (event.kind === 'address') return event.gone && addresses.has(event.address.text);
      if (event.kind === 'link') return interfaces.has(event.name);
      return event.kind === 'forwarding' && !event.on && event.link === undefined;
    });
  }
}
