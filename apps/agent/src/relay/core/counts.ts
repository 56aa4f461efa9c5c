import { type ForwardCounts, type TargetCounts, targetKey } from '../engine.js';
import type { RelayTarget } from '../types.js';
import type { Targets } from './targets.js';

/** What one forward moved and refused, for one thread; written to by whoever carries its flows. */
export class Tally {
  bytes = 0;
  datagrams = 0;
  flows = 0;
  refused = 0;
  limited = 0;
  failed = 0;
  open = 0;
  readonly #open = new Map<string, number>();

  /** A flow goes to `target` from now on. */
  opened(target: RelayTarget): void {
    const key = targetKey(target);
    this.#open.set(key, (this.#open.get(key) ?? 0) + 1);
  }

  /** For each {@link opened}, once. */
  closed(target: RelayTarget): void {
    const key = targetKey(target);
    const left = (this.#open.get(key) ?? 0) - 1;
    if (left > 0) this.#open.set(key, left);
    else this.#open.delete(key);
  }

  openTo(target: RelayTarget): number {
    return this.#open.get(targetKey(target)) ?? 0;
  }

  counts(uid: string, targets: readonly RelayTarget[], seen: Targets): ForwardCounts {
    const { bytes, datagrams, flows, refused, limited, failed, open } = this;
    const each = targets.map(
      (target): TargetCounts => ({
        address: target.address.text,
        port: target.port,
        open: this.openTo(target),
        ...seen.health(target),
      }),
    );
    return { uid, bytes, datagrams, flows, refused, limited, failed, open, targets: each };
  }
}

/** What several threads counted of one forward. A target is unhealthy where the last word of any of them is that. */
export function addCounts(all: readonly ForwardCounts[]): ForwardCounts | undefined {
  const [first, ...others] = all;
  return first && others.reduce(add, first);
}

function add(a: ForwardCounts, b: ForwardCounts): ForwardCounts {
  return {
    uid: a.uid,
    bytes: a.bytes + b.bytes,
    datagrams: a.datagrams + b.datagrams,
    flows: a.flows + b.flows,
    refused: a.refused + b.refused,
    limited: a.limited + b.limited,
    failed: a.failed + b.failed,
    open: a.open + b.open,
    targets: a.targets.map((one) => {
      const other = b.targets.find((t) => t.address === one.address && t.port === one.port);
      return other ? addTarget(one, other) : one;
    }),
  };
}

function addTarget(a: TargetCounts, b: TargetCounts): TargetCounts {
  const open = a.open + b.open;
  const worse = [a, b].find((t) => t.health === 'unhealthy') ?? [a, b].find((t) => t.health === 'healthy') ?? a;
  const rttUs = worse.rttUs ?? a.rttUs ?? b.rttUs;
  return { ...worse, open, ...(rttUs === undefined ? {} : { rttUs }) };
}
