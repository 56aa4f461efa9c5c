import { rangesOverlap } from '@gwctl/shared/domain/ports';
import { AppError } from '@gwctl/shared/errors/app-error';
import type { Engine, TargetCounts } from '../engine.js';
import type { CarriedRow, SetFailure } from '../protocol.js';
import type { RelayedForward } from '../types.js';
import { readForward } from '../wire-forward.js';
import { deadListeners, listenerNames } from './dead-listeners.js';

/** Forwards that are opened at the same time. */
const AT_ONCE = 16;

interface Entry {
  readonly forward: RelayedForward;
  readonly digest: string;
}

interface Failed {
  readonly entry: Entry;
  readonly reason: SetFailure['reason'];
  readonly message: string;
}

/** What somebody wants carried, as it came. */
export interface Wanted {
  readonly forward: unknown;
  readonly digest: string;
}

/** The forwards that the engine carries. Changes come one after the other, whoever asks for them. */
export class Carried {
  readonly #engine: Engine;
  readonly #byUid = new Map<string, Entry>();
  #turn: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  get size(): number {
    return this.#byUid.size;
  }

  get entries(): Iterable<Entry> {
    return this.#byUid.values();
  }

  /** Resolves to those that could not be carried as wanted; the others are. */
  set(wanted: readonly Wanted[]): Promise<readonly SetFailure[]> {
    return this.#inTurn(async () => {
      const failures: SetFailure[] = [];
      const entries: Entry[] = [];
      for (const { forward, digest } of wanted) {
        try {
          entries.push({ forward: readForward(forward), digest });
        } catch (error) {
          failures.push(invalid(forward, error));
        }
      }
      const first = await this.#setAll(entries);
      // One may have wanted the listener of another that has just let go of it.
      const again = first.length > 0 && first.length < entries.length ? await this.#setAll(first.map((f) => f.entry)) : first;
      const left = await this.#exchange(again);
      return [...failures, ...left.map(({ entry, reason, message }) => ({ uid: entry.forward.uid, reason, message }))];
    });
  }

  remove(uids: readonly string[]): Promise<void> {
    return this.#inTurn(async () => {
      for (const uid of uids) {
        if (!this.#byUid.has(uid)) continue;
        await this.#engine.remove(uid);
        // Only now: what could not be removed is still there, and said to be.
        this.#byUid.delete(uid);
      }
    });
  }

  /** As it is between two changes. */
  list(uids: readonly string[] | undefined): Promise<readonly CarriedRow[]> {
    return this.#inTurn(async () => {
      const [listening, counts] = await Promise.all([this.#engine.listening(), this.#engine.counts()]);
      const open = listenerNames(listening);
      const targets = new Map(counts.map((c) => [c.uid, c.targets]));
      const entries = uids ? uids.flatMap((uid) => this.#byUid.get(uid) ?? []) : [...this.#byUid.values()];
      return entries.map(({ forward, digest }) => ({
        uid: forward.uid,
        generation: forward.generation,
        digest,
        dead: deadListeners(forward, open),
        targets: (targets.get(forward.uid) ?? []).filter(known),
      }));
    });
  }

  /** Runs while nothing changes; where it succeeds, nothing changes any more. */
  handOver<T>(run: () => Promise<T>): Promise<T> {
    return this.#inTurn(async () => {
      const result = await run();
      this.#closed = true;
      return result;
    });
  }

  close(): void {
    this.#closed = true;
  }

  /** Of two that swap listeners neither can have its new one first: both let go, and both are set, or both are as before. */
  async #exchange(failed: readonly Failed[]): Promise<readonly Failed[]> {
    const taken = failed.filter((f) => f.reason === 'PORT_IN_USE');
    const before = (f: Failed) => this.#byUid.get(f.entry.forward.uid);
    const swapping = taken.filter((f) =>
      taken.some((g) => {
        const old = before(g);
        return f !== g && before(f) && old && listenersOverlap(old.forward.listen, f.entry.forward.listen);
      }),
    );
    if (swapping.length < 2) return failed;
    const old = swapping.flatMap((f) => before(f) ?? []);
    for (const { forward } of old) await this.#engine.remove(forward.uid);
    const again = await this.#setAll(swapping.map((f) => f.entry));
    if (again.length === 0) return failed.filter((f) => !swapping.includes(f));
    for (const { entry } of swapping) if (!again.some((f) => f.entry === entry)) await this.#engine.remove(entry.forward.uid);
    for (const { entry } of await this.#setAll(old)) this.#byUid.delete(entry.forward.uid);
    return failed;
  }

  async #setAll(entries: readonly Entry[]): Promise<readonly Failed[]> {
    const failed: Failed[] = [];
    const waiting = [...entries];
    const work = async () => {
      for (let entry = waiting.shift(); entry; entry = waiting.shift()) {
        const failure = await this.#engine.set(entry.forward).catch(unforeseen);
        if (failure) failed.push({ entry, ...failure });
        else this.#byUid.set(entry.forward.uid, entry);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    return failed;
  }

  #inTurn<T>(run: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(() => {
      if (this.#closed) throw draining();
      return run();
    });
    this.#turn = mine.catch(() => undefined);
    return mine;
  }
}

const draining = () =>
  new AppError({
    code: 'FAILED_PRECONDITION',
    reason: 'RELAY_DRAINING',
    message: `this relay (pid ${process.pid}) carries nothing new any more; speak to the one that listens`,
  });

/** What the engine did not foresee of one forward is no reason to leave out the others. */
const unforeseen = (error: unknown) => ({ reason: 'LISTEN_FAILED', message: AppError.from(error).message }) as const;

/** Whether two may want the same socket; an address and all addresses do. */
function listenersOverlap(a: RelayedForward['listen'], b: RelayedForward['listen']): boolean {
  const sameAddress = a.address === undefined || b.address === undefined || a.address.text === b.address.text;
  return sameAddress && a.transports.some((t) => b.transports.includes(t)) && rangesOverlap(a.ports, b.ports);
}

const known = ({ health }: TargetCounts): boolean => health !== 'unknown';

function invalid(forward: unknown, error: unknown): SetFailure {
  const uid = typeof forward === 'object' && forward !== null ? Reflect.get(forward, 'uid') : undefined;
  // Nobody can be told of one that does not even say which it is.
  if (!(error instanceof AppError) || typeof uid !== 'string' || uid.length === 0 || uid.length > 128) throw error;
  return { uid, reason: 'FORWARD_INVALID', message: error.message };
}
