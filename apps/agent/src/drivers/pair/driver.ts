import type { Counters } from '@gwctl/shared/domain/status';
import { SortedList } from '../../planner/sorted-list.js';
import type { DriverCapabilities, Health, HostDesired, PlacedForward } from '../../planner/types.js';
import type { HandshakesOver } from '../../system/handshakes.js';
import type { Detection, DriftFound, Driver, DriverCondition, DriverName, PlacementFinding, Plan, Step } from '../driver.js';
import { together } from '../part-failure.js';
import { Failures } from './failures.js';
import { mayStay } from './held.js';
import { halfOf, type Observed, troubleOf } from './observe.js';
import { isLate, listenersOf, type PairStep, parted, unread } from './steps.js';

/** What both render, and what of it tells how forwards move between them. */
export interface Rendered<K, R> {
  readonly desired: HostDesired;
  /** The kernel's, as a list that is searched by uid. */
  readonly forwards: SortedList<PlacedForward>;
  readonly kernel: K;
  readonly relay: R;
}

type Watch = NonNullable<Driver['watch']>;

/**
 * A kernel driver and the relay as one: each carries its own forwards, and one that moves between them is carried by the one before the
 * other lets it go. What fails in one half keeps nothing of the other from being as wanted. The README beside this file says how.
 */
export class PairDriver<KR, KO, KS extends Step, RR, RO, RS extends Step>
  implements Driver<Rendered<KR, RR>, Observed<KO, RO>, PairStep<KS, RS>>
{
  readonly watch?: Watch;
  readonly watchHost?: Watch;
  readonly #kernel: Driver<KR, KO, KS>;
  readonly #relay: Driver<RR, RO, RS>;
  readonly #handshakesOver: HandshakesOver;
  /** What the kernel carries, as far as this process put it there. */
  #carried = SortedList.empty<PlacedForward>();
  /** Forwards that the relay is to carry and does not, which the kernel therefore still carries as before. */
  #held = SortedList.empty<PlacedForward>();
  #wanted: Rendered<KR, RR> | undefined;
  /** What the kernel was really told where it holds more than it was to. */
  readonly #really = new WeakMap<Rendered<KR, RR>, KR>();

  /** `handshakesOver`: default, no client is waited for. */
  constructor(options: {
    readonly kernel: Driver<KR, KO, KS>;
    readonly relay: Driver<RR, RO, RS>;
    readonly handshakesOver?: HandshakesOver;
  }) {
    const { kernel, relay, handshakesOver = async () => undefined } = options;
    this.#kernel = kernel;
    this.#relay = relay;
    this.#handshakesOver = handshakesOver;
    // Whoever watches relies on changes of rules being announced: what only the relay tells is not that.
    if (kernel.watch) this.watch = (onChange) => joined([kernel.watch?.(onChange), relay.watch?.(onChange)]);
    else this.watchHost = (onChange) => joined([kernel.watchHost?.(onChange), relay.watch?.(onChange)]);
  }

  get name(): DriverName {
    return this.#kernel.name;
  }

  get capabilities(): DriverCapabilities {
    return this.#kernel.capabilities;
  }

  detect(): Promise<Detection> {
    return this.#kernel.detect();
  }

  render(desired: HostDesired, previous?: Rendered<KR, RR>): Rendered<KR, RR> {
    if (previous?.desired === desired) return previous;
    return {
      desired,
      forwards: SortedList.from(desired.forwards),
      kernel: this.#kernel.render(desired, previous?.kernel),
      relay: this.#relay.render(desired, previous?.relay),
    };
  }

  async observe(): Promise<Observed<KO, RO>> {
    const [kernel, relay] = await Promise.all([halfOf(this.#kernel.observe()), halfOf(this.#relay.observe())]);
    if (!kernel.ok && !relay.ok) throw kernel.error;
    return { kernel, relay };
  }

  mirror(): Observed<KO, RO> | undefined {
    const [kernel, relay] = [this.#kernel.mirror(), this.#relay.mirror()];
    if (kernel === undefined || relay === undefined) return undefined;
    return { kernel: { ok: true, observed: kernel }, relay: { ok: true, observed: relay } };
  }

  /**
   * What comes to the relay first, then the kernel, then what leaves the relay for the kernel. What is only removed from the relay goes
   * first of all: its listener may be another's now.
   */
  diff(rendered: Rendered<KR, RR>, observed: Observed<KO, RO>): Plan<PairStep<KS, RS>> {
    this.#wanted = rendered;
    const { desired, forwards } = rendered;
    const relay = observed.relay.ok ? this.#relay.diff(rendered.relay, observed.relay.observed).steps : [];
    const held = this.#stillHeld(rendered, observed);
    const kernel = this.#kernelSteps(rendered, observed, held);
    // A process that has just started learns so what the kernel carries already.
    if (observed.kernel.ok && kernel.length === 0) this.#carried = withHeld(rendered, held);
    const late = relay.filter((step) => isLate(step, forwards));
    const early = relay.filter((step) => !isLate(step, forwards));
    const blind = [
      ...(observed.kernel.ok ? [] : [unread('kernel', desired.forwards, observed.kernel.error)]),
      ...(observed.relay.ok || desired.relayed.length === 0 ? [] : [unread('relay', desired.relayed, observed.relay.error)]),
    ];
    return { steps: [...early, ...kernel, ...late, ...blind] };
  }

  async apply({ steps }: Plan<PairStep<KS, RS>>): Promise<void> {
    const wanted = this.#wanted;
    const { early, ahead, kernel, late, blind } = parted(steps, wanted?.forwards);
    const failures = new Failures(blind);
    // Addresses that the relay is to listen on; nothing else of the kernel's may come before the relay listens.
    if (ahead.length > 0 && early.length > 0) await failures.of('kernel', () => this.#kernel.apply({ steps: ahead }));
    const told = early.length === 0 || (await failures.of('relay', () => this.#relay.apply({ steps: early })));
    const held = wanted ? this.#toHold(wanted, told) : this.#held;
    const rest = early.length > 0 ? kernel : [...ahead, ...kernel];
    // Of a kernel that could not be read nobody knows what it carries: nothing was planned for it, and what moves there is not there.
    const readable = !blind.some((s) => s.half === 'kernel');
    const done = readable && (await failures.of('kernel', () => this.#applyKernel(wanted, rest, held)));
    // What moves to the kernel stays with the relay until it is there, and until who began to connect to the relay has done so.
    if (done && late.length > 0)
      await failures.of('relay', async () => {
        await this.#handshakesOver(listenersOf(late, wanted?.forwards ?? SortedList.empty()));
        await this.#relay.apply({ steps: late });
      });
    failures.throw();
  }

  drift(applied: Rendered<KR, RR>, observed: Observed<KO, RO>): readonly DriftFound[] {
    const kernel = this.#really.get(applied) ?? applied.kernel;
    return [
      ...(observed.kernel.ok ? this.#kernel.drift(kernel, observed.kernel.observed) : []),
      ...(observed.relay.ok ? this.#relay.drift(applied.relay, observed.relay.observed) : []),
    ];
  }

  conditions(observed: Observed<KO, RO>): readonly DriverCondition[] {
    return [
      ...(observed.kernel.ok ? this.#kernel.conditions(observed.kernel.observed) : [troubleOf('kernel', observed.kernel.error)]),
      ...(observed.relay.ok ? this.#relay.conditions(observed.relay.observed) : [troubleOf('relay', observed.relay.error)]),
    ];
  }

  findings(applied: Rendered<KR, RR>, observed: Observed<KO, RO>): readonly PlacementFinding[] {
    const kernel = this.#really.get(applied) ?? applied.kernel;
    const own = observed.kernel.ok ? this.#kernel.findings?.(kernel, observed.kernel.observed) : undefined;
    const found = observed.relay.ok ? this.#relay.findings?.(applied.relay, observed.relay.observed) : undefined;
    const relay = (found ?? []).map((f) => (f.instead === 'nothing' && this.#held.get(f.uid) ? stillThere(f) : f));
    return [...(own ?? []), ...relay];
  }

  targetHealth({ relay }: Observed<KO, RO>): ReadonlyMap<string, ReadonlyMap<string, Health>> {
    return (relay.ok ? this.#relay.targetHealth?.(relay.observed) : undefined) ?? new Map();
  }

  async counters(): Promise<ReadonlyMap<string, Counters>> {
    const [kernel, relay] = await Promise.all([this.#kernel.counters?.(), this.#relay.counters?.()]);
    return new Map([...(kernel ?? []), ...(relay ?? [])]);
  }

  /** Both, whatever becomes of one of them. */
  async cleanUp(): Promise<void> {
    this.#carried = SortedList.empty();
    this.#held = SortedList.empty();
    const results = await Promise.allSettled([this.#relay.cleanUp(), this.#kernel.cleanUp()]);
    const failure = together(results.flatMap((r) => (r.status === 'rejected' ? [r.reason as unknown] : [])));
    if (failure) throw failure;
  }

  #kernelSteps(rendered: Rendered<KR, RR>, observed: Observed<KO, RO>, held: SortedList<PlacedForward>): readonly KS[] {
    if (!observed.kernel.ok) return [];
    return this.#kernel.diff(this.#rendered(rendered, held), observed.kernel.observed).steps;
  }

  /** For the kernel, with what it still carries for the relay. */
  #rendered(wanted: Rendered<KR, RR>, held: SortedList<PlacedForward>): KR {
    const { desired, kernel } = wanted;
    return held.length === 0 ? kernel : this.#kernel.render({ ...desired, forwards: withHeld(wanted, held) }, kernel);
  }

  /** Of those that the kernel holds for the relay, those that the relay still does not carry. */
  #stillHeld({ desired, relay }: Rendered<KR, RR>, observed: Observed<KO, RO>): SortedList<PlacedForward> {
    if (!observed.relay.ok) return SortedList.from(this.#carriedBefore(desired));
    if (this.#held.length === 0) return this.#held;
    const failing = this.#failing(relay, observed.relay.observed);
    return SortedList.from(this.#carriedBefore(desired).filter(({ uid }) => failing.has(uid) && this.#held.has(uid)));
  }

  /** What the kernel must go on with, now that the relay was told; `told`: whether that went well. */
  #toHold({ desired, relay }: Rendered<KR, RR>, told: boolean): SortedList<PlacedForward> {
    const moving = this.#carriedBefore(desired);
    const now = this.#relay.mirror();
    if (moving.length === 0) return SortedList.empty();
    if (!told || now === undefined) return SortedList.from(moving);
    const failing = this.#failing(relay, now);
    return SortedList.from(moving.filter(({ uid }) => failing.has(uid)));
  }

  /** Of what the relay is to carry, what the kernel carries and may go on with. */
  #carriedBefore(desired: HostDesired): readonly PlacedForward[] {
    const relayed = SortedList.from(desired.relayed);
    // Asked with each change: of tens of thousands on the one side and few on the other, only the few are looked at.
    if (relayed.length < this.#carried.length)
      return mayStay(
        relayed.flatMap(({ uid }) => this.#carried.get(uid) ?? []),
        desired,
      );
    return mayStay(
      this.#carried.filter(({ uid }) => relayed.has(uid)),
      desired,
    );
  }

  /** What the relay could not be made to carry. */
  #failing(rendered: RR, observed: RO): ReadonlySet<string> {
    const found = this.#relay.findings?.(rendered, observed) ?? [];
    return new Set(found.filter((f) => f.instead === 'nothing').map((f) => f.uid));
  }

  /** The plan's steps, or, where the kernel must hold more than was planned, those that this takes. */
  async #applyKernel(wanted: Rendered<KR, RR> | undefined, steps: readonly KS[], held: SortedList<PlacedForward>): Promise<void> {
    if (!wanted) return steps.length > 0 ? this.#kernel.apply({ steps }) : undefined;
    if (held.length === 0) {
      if (steps.length > 0) await this.#kernel.apply({ steps });
      this.#really.delete(wanted);
    } else {
      const rendered = this.#rendered(wanted, held);
      const plan = this.#kernel.diff(rendered, this.#kernel.mirror() ?? (await this.#kernel.observe()));
      if (plan.steps.length > 0) await this.#kernel.apply(plan);
      this.#really.set(wanted, rendered);
    }
    this.#held = held;
    this.#carried = withHeld(wanted, held);
  }
}

/** What the kernel is to carry, and beside it what it still carries for the relay. */
const withHeld = (wanted: { readonly forwards: SortedList<PlacedForward> }, held: SortedList<PlacedForward>) =>
  held.length === 0 ? wanted.forwards : wanted.forwards.with({ gone: [], come: [...held] });

const stillThere = (finding: PlacementFinding): PlacementFinding => ({ ...finding, instead: 'older' });

const joined = (watches: readonly ({ close(): void } | undefined)[]) => ({
  close: () => {
    for (const watch of watches) watch?.close();
  },
});
