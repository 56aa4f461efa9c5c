import type { Counters } from '@gwctl/shared/domain/status';
import { AppError } from '@gwctl/shared/errors/app-error';
import type { Clock } from '../../clock.js';
import { SortedList } from '../../planner/sorted-list.js';
import type { Health, HostDesired, PlacedRelayed } from '../../planner/types.js';
import { countForwards, listCarried, removeForwards, setForwards } from '../../relay/client.js';
import type { KilledRelay } from '../../relay/ending.js';
import type { RelayLink } from '../../relay/link.js';
import { Patience } from '../../relay/patience.js';
import type { CarriedRow } from '../../relay/protocol.js';
import type { RelayState, Supervision } from '../../relay/relay-state.js';
import { wireForward } from '../../relay/wire-forward.js';
import type { Detection, DriftFound, Driver, DriverCondition, OnKernelChange, PlacementFinding, Plan } from '../driver.js';
import { conditions } from './conditions.js';
import { RelayCounters } from './counters.js';
import { diff } from './diff.js';
import { drift } from './drift.js';
import { findings } from './findings.js';
import type { Failure, RelayObserved } from './observe.js';
import { type Rendered, render } from './render.js';
import type { RelayStep, RemoveStep, SetStep } from './steps.js';

/** The relay's process as the driver uses it; RelaySupervisor is the real one. */
export interface RelaySource {
  find(): Promise<RelayLink | undefined>;
  ensure(): Promise<RelayLink>;
  /** Resolves to the process ids of all that drain, also of those that did not answer in time. */
  askDraining(ask: (link: RelayLink) => Promise<void>): Promise<readonly number[]>;
  supervise(supervision: Supervision): void;
  unsupervise(): void;
  need(needed: boolean): void;
  state(): RelayState;
  processes(): Promise<ReadonlySet<number>>;
  /** Resolves to those that had to be killed. */
  stop(): Promise<readonly KilledRelay[]>;
}

export interface RelayDriverOptions {
  readonly relay: RelaySource;
  /** Whether a relay can be run here, found out by opening an engine in earnest. */
  readonly trial: () => Promise<Detection>;
  readonly clock: Clock;
}

/** Milliseconds that the relay which listens is waited for when somebody wants to know what passed. */
const COUNTED_IN = 2_000;

/** Tells the relay's process what to carry. The README beside this file says how it finds and keeps that process. */
export class RelayDriver implements Driver<Rendered, RelayObserved, RelayStep> {
  readonly name = 'relay';
  readonly capabilities = {
    families: [4, 6],
    protocols: ['tcp', 'udp', 'tcp+udp'],
    portRanges: true,
    targets: Number.MAX_SAFE_INTEGER,
    affinityTargets: Number.MAX_SAFE_INTEGER,
    announce: false,
    ftp: false,
    clampMss: false,
    egress: false,
    kind: 'relay',
  } as const;
  readonly #options: RelayDriverOptions;
  readonly #counters = new RelayCounters();
  #carried: Map<string, CarriedRow> | undefined;
  #failures = new Map<string, Failure>();
  /** What was last wanted: a relay that is started again after a death gets it at once. Changes no answer of diff. */
  #wanted = SortedList.empty<PlacedRelayed>();
  #health:
    | { readonly of: RelayObserved['carried']; readonly found: ReadonlyMap<string, ReadonlyMap<string, Health>> }
    | undefined;
  #turn: Promise<unknown> = Promise.resolve();

  readonly #counting: Patience<'listening'>;
  /** Process id of the relay that listened when it was last asked. */
  #listening: number | undefined;
  readonly #killed: KilledRelay[] = [];

  constructor(options: RelayDriverOptions) {
    this.#options = options;
    this.#counting = new Patience({ clock: options.clock, ms: COUNTED_IN });
  }

  async detect(): Promise<Detection> {
    let trouble: string | undefined;
    try {
      const running = (await this.#options.relay.find())?.hello;
      if (running) return { supported: true, detail: `a relay runs (pid ${running.pid}, ${running.engine} engine)` };
    } catch (error) {
      // That one hangs now says nothing of whether one can run here.
      trouble = AppError.from(error).message;
    }
    const { supported, detail } = await this.#options.trial();
    return { supported, detail: trouble === undefined ? detail : `${detail}; the one that runs cannot be used now: ${trouble}` };
  }

  render(desired: HostDesired, previous?: Rendered): Rendered {
    return render(desired, previous);
  }

  observe(): Promise<RelayObserved> {
    return this.#inTurn(async () => {
      this.#carried = undefined;
      const { relay } = this.#options;
      const rows = await this.#list(await relay.find()).catch(async (error: unknown) => {
        // It ended while it was asked.
        if (error instanceof AppError && error.reason === 'RELAY_GONE') return this.#list(await relay.find());
        throw error;
      });
      this.#carried = new Map(rows.map((row) => [row.uid, row]));
      return this.#observed(this.#carried, true);
    });
  }

  mirror(): RelayObserved | undefined {
    const carried = this.#carried;
    // What a relay carried that is gone, nobody carries.
    if (!carried || (carried.size > 0 && !this.#options.relay.state().hello)) return undefined;
    return this.#observed(carried, false);
  }

  diff(rendered: Rendered, observed: RelayObserved): Plan<RelayStep> {
    this.#wanted = rendered.relayed;
    this.#options.relay.need(rendered.relayed.length > 0);
    return diff(rendered, observed);
  }

  apply({ steps }: Plan<RelayStep>): Promise<void> {
    return this.#inTurn(async () => {
      const { relay } = this.#options;
      const removes = steps.filter((s): s is RemoveStep => s.kind === 'relay-remove').map((s) => s.uid);
      const sets = steps.filter((s): s is SetStep => s.kind === 'relay-set').map((s) => s.forward);
      const before = this.#carried;
      this.#carried = undefined;
      // Without a relay nothing is there that could be removed.
      const link = sets.length > 0 ? await relay.ensure() : await relay.find();
      const carried = new Map(before ?? []);
      if (link) {
        await removeForwards(link, removes);
        await this.#set(link, sets, carried);
      }
      for (const uid of removes) carried.delete(uid);
      for (const uid of removes) this.#failures.delete(uid);
      this.#carried = carried;
    });
  }

  drift(applied: Rendered, observed: RelayObserved): readonly DriftFound[] {
    return drift(applied, observed);
  }

  conditions(observed: RelayObserved): readonly DriverCondition[] {
    return conditions(observed);
  }

  findings(applied: Rendered, observed: RelayObserved): readonly PlacementFinding[] {
    return findings(applied, observed);
  }

  /** The same map for as long as nothing was read or applied since. */
  targetHealth({ carried }: RelayObserved): ReadonlyMap<string, ReadonlyMap<string, Health>> {
    if (this.#health?.of !== carried) this.#health = { of: carried, found: healthOf(carried) };
    return this.#health.found;
  }

  /**
   * Of what is wanted now. Packets are datagrams: of TCP there are none. A relay that does not answer is waited for once, and what it
   * counted last stays.
   */
  async counters(): Promise<ReadonlyMap<string, Counters>> {
    const { relay } = this.#options;
    const count = async (link: RelayLink) => this.#counters.take(link.hello.pid, await countForwards(link));
    // One after the other: a relay that is replaced meanwhile is among those that drain by then, and not for a moment gone.
    let failure: unknown;
    await this.#counting.do('listening', async () => {
      try {
        const listening = await relay.find();
        this.#listening = listening?.hello.pid;
        if (listening) await count(listening);
      } catch (error) {
        const reason = error instanceof AppError ? error.reason : undefined;
        if (reason === 'RELAY_SILENT') throw error;
        // It ended, or is among those that drain by now.
        if (reason === 'RELAY_GONE') this.#listening = undefined;
        else failure = error;
      }
    });
    const there = new Set(await relay.askDraining(count));
    if (this.#listening !== undefined) there.add(this.#listening);
    this.#counters.keep(there);
    if (failure !== undefined) throw failure;
    const byUid = this.#counters.sum();
    return new Map(
      this.#wanted.flatMap(({ uid, key }) => {
        const counted = byUid.get(uid);
        return counted ? [[key, counted] as const] : [];
      }),
    );
  }

  /** Relays that did not end by themselves when everything was cleaned up, and were killed. */
  get killed(): readonly KilledRelay[] {
    return this.#killed;
  }

  async cleanUp(): Promise<void> {
    this.#wanted = SortedList.empty();
    this.#killed.push(...(await this.#options.relay.stop()));
    this.#carried = undefined;
    this.#failures.clear();
  }

  /** From here on the relay is looked after: one of another build is replaced, one that dies is started again. */
  watch(onChange: OnKernelChange): { close(): void } {
    const { relay } = this.#options;
    relay.supervise({
      wanted: () => this.#wanted,
      restored: (link) => this.#restore(link),
      notify: () => onChange({}),
    });
    return { close: () => relay.unsupervise() };
  }

  /** Process ids whose sockets are ours. */
  processes(): Promise<ReadonlySet<number>> {
    return this.#options.relay.processes();
  }

  async #list(link: RelayLink | undefined): Promise<readonly CarriedRow[]> {
    return link ? listCarried(link) : [];
  }

  #restore(link: RelayLink): Promise<void> {
    return this.#inTurn(async () => {
      const carried = new Map<string, CarriedRow>();
      this.#carried = undefined;
      await this.#set(link, [...this.#wanted], carried);
      this.#carried = carried;
    });
  }

  /** Sets, reads back, and notes in `carried` what came of it. One that the relay refuses is noted and concerns no other. */
  async #set(link: RelayLink, forwards: readonly PlacedRelayed[], carried: Map<string, CarriedRow>): Promise<void> {
    if (forwards.length === 0) return;
    const failures = await setForwards(link, forwards);
    const rows = new Map(
      (
        await listCarried(
          link,
          forwards.map((f) => f.uid),
        )
      ).map((row) => [row.uid, row]),
    );
    const failed = new Map(failures.map((f) => [f.uid, f]));
    for (const forward of forwards) {
      const { uid } = forward;
      const { digest } = wireForward(forward);
      const row = rows.get(uid);
      const failure = failed.get(uid);
      if (row) carried.set(uid, row);
      else carried.delete(uid);
      if (failure) this.#failures.set(uid, { digest, reason: failure.reason, message: failure.message });
      else if (row?.digest === digest) this.#failures.delete(uid);
      else throw notAsWanted(uid);
    }
  }

  #observed(carried: ReadonlyMap<string, CarriedRow>, fresh: boolean): RelayObserved {
    const { relay, clock } = this.#options;
    return { carried, failures: this.#failures, fresh, state: relay.state(), now: clock.now() };
  }

  #inTurn<T>(run: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(run);
    this.#turn = mine.catch(() => undefined);
    return mine;
  }
}

function healthOf(carried: RelayObserved['carried']): ReadonlyMap<string, ReadonlyMap<string, Health>> {
  return new Map(
    [...carried].map(([uid, { targets }]) => [
      uid,
      new Map(
        targets.map(({ address, port, health, trouble, rttUs }) => [
          `${address} ${port}`,
          { state: health, ...(trouble === undefined ? {} : { trouble }), ...(rttUs === undefined ? {} : { rttUs }) },
        ]),
      ),
    ]),
  );
}

const notAsWanted = (uid: string) =>
  new AppError({
    code: 'INTERNAL',
    reason: 'RELAY_NOT_AS_WANTED',
    message: `the relay took forward ${uid} and does not carry it as wanted`,
  });
