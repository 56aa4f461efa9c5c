import type { Clock } from '../clock.js';
import type { HostDesired, PlacedForward } from '../planner/types.js';

/** Milliseconds. */
const FIRST_STAY = 60_000;
const LONGEST_STAY = 600_000;

interface Kept {
  readonly generation: number;
  readonly message: string;
  /** What is on the host instead. */
  readonly instead: PlacedForward | undefined;
  readonly until: number;
  readonly stays: number;
}

/** Forwards that the driver refused by themselves: left out, so that they do not spoil the others, and tried again now and then. */
export class Quarantine {
  private readonly byUid = new Map<string, Kept>();

  constructor(private readonly options: { readonly clock: Clock }) {}

  add(forward: PlacedForward | undefined, message: string, instead: PlacedForward | undefined): void {
    if (!forward) return;
    const old = this.byUid.get(forward.uid);
    const stays = old?.generation === forward.generation ? old.stays + 1 : 1;
    this.byUid.set(forward.uid, {
      generation: forward.generation,
      message,
      instead,
      stays,
      until: this.options.clock.monotonic() + Math.min(LONGEST_STAY, FIRST_STAY * 2 ** (stays - 1)),
    });
  }

  get uids(): Iterable<string> {
    return this.byUid.keys();
  }

  of(uid: string): { readonly message: string; readonly older: boolean } | undefined {
    const kept = this.byUid.get(uid);
    return kept && this.holds(kept) ? { message: kept.message, older: kept.instead !== undefined } : undefined;
  }

  /** What is wanted, with those in here as they were before, or absent. A new generation of one is a new chance. */
  without(wanted: HostDesired): HostDesired {
    if (this.byUid.size === 0) return wanted;
    const uids = new Set(wanted.forwards.map((f) => f.uid));
    for (const uid of this.byUid.keys()) if (!uids.has(uid)) this.byUid.delete(uid);
    const forwards = wanted.forwards.flatMap((f) => {
      const kept = this.byUid.get(f.uid);
      if (kept && kept.generation !== f.generation) this.byUid.delete(f.uid);
      if (!kept || kept.generation !== f.generation || !this.holds(kept)) return [f];
      return kept.instead ? [kept.instead] : [];
    });
    return { ...wanted, forwards };
  }

  private holds(kept: Kept): boolean {
    return this.options.clock.monotonic() < kept.until;
  }
}
