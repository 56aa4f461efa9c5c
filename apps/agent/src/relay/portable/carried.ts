import { addressBytes } from '@gwctl/shared/domain/ip-bytes';
import { hashAddress } from '../core/address.js';
import { AllowList } from '../core/allow.js';
import { changeOf, mayEnd, type StandingFlow } from '../core/change.js';
import { Tally } from '../core/counts.js';
import { Limits } from '../core/limits.js';
import { Targets } from '../core/targets.js';
import type { ForwardCounts, RelayFlow } from '../engine.js';
import type { RelayedForward, RelayTarget } from '../types.js';
import type { Descriptors } from './descriptors.js';

/** A client that was let in. */
export interface Client {
  /** In text, as Node.js has it. */
  readonly address: string;
  readonly port: number;
  readonly bytes: Uint8Array;
  readonly hash: number;
}

/** A TCP connection or a UDP client, as what carries the forward sees it. */
export interface Carriage {
  readonly standing: StandingFlow;
  /** Ends it if nothing moved for the forward's time. */
  sweep(now: number): void;
  /** At once; TCP with a reset to both sides. */
  end(): void;
  /** Undefined while no target is connected. */
  describe(now: number): RelayFlow | undefined;
}

export interface CarriedOptions {
  readonly descriptors: Descriptors;
  /** Whether there is no other forward. */
  readonly alone: () => boolean;
  /** A target became reachable or unreachable. */
  readonly onHealth: (uid: string) => void;
  /** A flow of this forward is over. */
  readonly onEnd: () => void;
}

/** One forward with all that belongs to it but its listeners: what its flows ask and tell. */
export class Carried {
  readonly tally = new Tally();
  readonly flows = new Set<Carriage>();
  readonly descriptors: Descriptors;
  /** No longer wanted: nobody new is let in. */
  removed = false;
  #forward: RelayedForward;
  #allow: AllowList;
  #targets: Targets;
  readonly #limits: Limits;
  readonly #options: CarriedOptions;
  /** Descriptors of its flows. */
  #held = 0;

  constructor(forward: RelayedForward, options: CarriedOptions) {
    this.#forward = forward;
    this.#allow = new AllowList(forward.allow);
    this.#targets = new Targets(forward);
    this.#limits = new Limits(forward);
    this.#options = options;
    this.descriptors = options.descriptors;
  }

  get forward(): RelayedForward {
    return this.#forward;
  }

  get targets(): Targets {
    return this.#targets;
  }

  /** From now on it is this one; flows that must not stay end. */
  change(forward: RelayedForward): void {
    const was = this.#forward;
    this.#forward = forward;
    this.removed = false;
    if (forward.allow !== was.allow) this.#allow = new AllowList(forward.allow);
    this.#targets = new Targets(forward, this.#targets);
    this.#limits.caps = forward;
    if (!mayEnd(was, forward)) return;
    const change = changeOf(was, forward);
    for (const flow of [...this.flows]) if (change.ends(flow.standing)) flow.end();
  }

  /** Asks for `descriptors` and counts the client in; undefined: it is refused. Who was let in leaves with {@link leave}, once. */
  admit(address: string, port: number, descriptors: number): Client | undefined {
    const bytes = addressBytes(address);
    if (this.removed || !this.#allow.allows(bytes)) {
      this.tally.refused += 1;
      return undefined;
    }
    const { alone } = this.#options;
    if (!(alone() || this.descriptors.fitsShare(this.#held + descriptors)) || !this.descriptors.take(descriptors)) {
      this.tally.limited += 1;
      return undefined;
    }
    if (this.#limits.enter(address) !== undefined) {
      this.descriptors.giveBack(descriptors);
      this.tally.limited += 1;
      return undefined;
    }
    this.#held += descriptors;
    this.tally.flows += 1;
    this.tally.open += 1;
    return { address, port, bytes, hash: hashAddress(bytes) };
  }

  leave(client: Client, descriptors: number, flow: Carriage): void {
    this.descriptors.giveBack(descriptors);
    this.#held -= descriptors;
    this.#limits.leave(client.address);
    this.tally.open -= 1;
    this.flows.delete(flow);
    this.#options.onEnd();
  }

  /** `rttUs`: undefined where no connect could be measured. */
  succeeded(target: RelayTarget, rttUs?: number): void {
    if (this.#targets.succeeded(target, rttUs)) this.#options.onHealth(this.#forward.uid);
  }

  failed(target: RelayTarget, now: number, trouble: string): void {
    if (this.#targets.failed(target, now, trouble)) this.#options.onHealth(this.#forward.uid);
  }

  counts(): ForwardCounts {
    return this.tally.counts(this.#forward.uid, this.#forward.targets, this.#targets);
  }
}

/** The fixed source address, as far as it can be one: a target of the other family is reached as the route says. */
export const sourceFor = (forward: RelayedForward, target: RelayTarget): string | undefined =>
  forward.source?.family === target.address.family ? forward.source.text : undefined;
