import type { Counters, Drift } from '@gwctl/shared/domain/status';
import { SortedList } from '../planner/sorted-list.js';
import type { Health, HostDesired, PlacedRelayed } from '../planner/types.js';
import type { Circumstances, FoundCondition, Situation } from './placements.js';

export interface SituationInput {
  readonly wanted: HostDesired;
  /** Why the placements with these keys, or all of them, are not as wanted. */
  readonly missing:
    | {
        readonly keys: ReadonlySet<string> | 'all';
        readonly message: string;
        /** Of those that the relay is to carry; undefined: the same. */
        readonly relay?: { readonly reason: string; readonly message: string };
      }
    | undefined;
  readonly quarantine: {
    readonly uids: Iterable<string>;
    of(uid: string): { readonly message: string; readonly older: boolean } | undefined;
  };
  readonly drifts: { readonly uids: Iterable<string>; of(uid: string): Drift | undefined };
  /** What is to be said of drift that is not repaired; undefined where all is. */
  readonly undone: Circumstances['undone'];
  readonly findings: ReadonlyMap<string, readonly FoundCondition[]>;
  /** What connections showed of targets, by uid and then by `ADDRESS PORT`. */
  readonly health: ReadonlyMap<string, ReadonlyMap<string, Health>>;
  /** Uids of which {@link health} is another than last time. */
  readonly felt: ReadonlySet<string>;
  /** By uid. */
  readonly counters: ReadonlyMap<string, Counters>;
  /** Uids of which the counters are others than last time. */
  readonly counted: ReadonlySet<string>;
}

const NO_RELAYED = SortedList.empty<PlacedRelayed>();

/** Gathers what speaks of placements beyond their verdicts. */
export function situation(input: SituationInput): Situation {
  const { missing, quarantine, drifts, findings, health, counters, counted, felt, wanted } = input;
  const keys = new Map<string, string>();
  // Only where somebody asks by key: for tens of thousands this is the most that a report costs.
  if (missing) for (const p of [...wanted.forwards, ...wanted.relayed, ...wanted.egresses]) keys.set(p.uid, p.key);
  const relayed = missing?.relay ? SortedList.from(wanted.relayed) : NO_RELAYED;
  const of = (uid: string): Circumstances => {
    const key = keys.get(uid);
    const quarantined = quarantine.of(uid);
    const drift = drifts.of(uid);
    const found = findings.get(uid);
    const count = counters.get(uid);
    const targets = health.get(uid);
    const notApplied = missing && (missing.keys === 'all' || (key !== undefined && missing.keys.has(key)));
    return {
      ...(quarantined ? { quarantined } : {}),
      ...(notApplied ? { notApplied: (relayed.has(uid) && missing.relay) || { message: missing.message } } : {}),
      ...(input.undone && drift && drift.repaired === undefined ? { undone: input.undone } : {}),
      ...(drift ? { drift } : {}),
      ...(found ? { findings: found } : {}),
      ...(count ? { counters: count } : {}),
      ...(targets ? { targets } : {}),
    };
  };
  if (missing?.keys === 'all') return { of, concerned: 'all' };
  const concerned = new Set([...quarantine.uids, ...drifts.uids, ...findings.keys(), ...counted, ...felt]);
  if (missing) for (const [uid, key] of keys) if (missing.keys.has(key)) concerned.add(uid);
  return { of, concerned };
}
