import { PartFailure } from '../drivers/part-failure.js';
import type { HostDesired, PlacedForward } from '../planner/types.js';

export interface IsolateInput {
  readonly wanted: HostDesired;
  /** Forwards that the failed plan was about, by uid. */
  readonly suspects: ReadonlySet<string>;
  /** What each forward was before, where it was. */
  readonly before: ReadonlyMap<string, PlacedForward>;
  /** Brings the host in line; resolves to what it failed with, or undefined. */
  readonly attempt: (host: HostDesired) => Promise<Error | undefined>;
  /** The most attempts; what is not settled by then is tried again later. Default 64. */
  readonly attempts?: number;
}

export interface Isolated {
  /** What the host was brought in line with. */
  readonly applied: HostDesired;
  /** The forwards that were refused by themselves. */
  readonly bad: ReadonlyMap<string, Error>;
  /** What the relay still failed with: no forward of the kernel's is to blame for that, nor cleared by it. */
  readonly aside?: Error;
}

/**
 * One forward that the kernel refuses fails the plan that it is part of. Finds it by halving, so that the others are served: each
 * group of suspects is tried on top of what works, and split where it fails. Undefined where it is no forward's fault. What fails of the
 * relay's half says nothing of any of them.
 */
export async function isolate(input: IsolateInput): Promise<Isolated | undefined> {
  const { wanted, suspects, before } = input;
  if (suspects.size === 0) return undefined;
  let left = input.attempts ?? 64;
  const good = new Set(wanted.forwards.map((f) => f.uid).filter((uid) => !suspects.has(uid)));
  const bad = new Map<string, Error>();
  let applied: HostDesired | undefined;
  let lastFailed = false;
  let aside: Error | undefined;
  /** `wanted` with the forwards outside `good` as they were before, or absent. */
  const compose = (more: ReadonlySet<string>): HostDesired => ({
    ...wanted,
    forwards: wanted.forwards.flatMap((f) => {
      if (good.has(f.uid) || more.has(f.uid)) return [f];
      const old = before.get(f.uid);
      return old ? [old] : [];
    }),
  });
  const attempt = async (more: readonly string[]): Promise<Error | undefined> => {
    left--;
    const host = compose(new Set(more));
    const failed = await input.attempt(host);
    aside = failed instanceof PartFailure ? failed.relay : undefined;
    const failure = failed instanceof PartFailure ? failed.kernel : failed;
    lastFailed = failure !== undefined;
    if (failure) return failure;
    for (const uid of more) good.add(uid);
    applied = host;
    return undefined;
  };
  if (await attempt([])) return undefined;
  const groups: string[][] = halves([...suspects]);
  for (let group = groups.pop(); group && left > 0; group = groups.pop()) {
    const failure = await attempt(group);
    if (!failure) continue;
    const [only] = group;
    if (group.length === 1 && only !== undefined) bad.set(only, failure);
    else groups.push(...halves(group));
  }
  // What the last attempt left, where it failed, is nobody's wish: what works is put back.
  if (lastFailed && (await attempt([]))) return undefined;
  return applied && { applied, bad, ...(aside ? { aside } : {}) };
}

function halves<T>(list: readonly T[]): T[][] {
  if (list.length < 2) return [[...list]];
  const middle = Math.ceil(list.length / 2);
  return [list.slice(middle), list.slice(0, middle)];
}
