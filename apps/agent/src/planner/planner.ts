import { egressesConflict } from '@gwctl/shared/domain/egress';
import { formatListener } from '@gwctl/shared/domain/forward';
import type { IpAddress } from '@gwctl/shared/domain/ip';
import type { Violation } from '@gwctl/shared/domain/result';
import { carriage } from './carrier.js';
import { Claims, Multimap } from './claims.js';
import { equal } from './equal.js';
import { LoopFree } from './loop-free.js';
import { Memo } from './memo.js';
import { place, placeEgress } from './place.js';
import { placeRelayed } from './place-relayed.js';
import { egressRefusals } from './refusals.js';
import { type Changes, changesOf, type Item, type Listed, SortedList } from './sorted-list.js';
import type {
  AnnouncedAddress,
  Carriers,
  DesiredEgress,
  DesiredForward,
  Health,
  HostFacts,
  Judgement,
  PlacedEgress,
  PlacedForward,
  PlacedRelayed,
  Planned,
  ProtectedListener,
  ReadEntry,
  Resolution,
  Verdict,
} from './types.js';

/** What the gateway's own administrator permits, whatever the control plane wants. A new object for each change of it. */
export interface PolicyCheck {
  forward(forward: DesiredForward): readonly Violation[];
  egress(egress: DesiredEgress): readonly Violation[];
  /** Whether it may be a target: asked for what names resolve to. */
  permits(address: IpAddress): boolean;
  /** Whether it may be one although it is the gateway's own, or on its loopback: only where the policy names it in so many words. */
  permitsLocal(address: IpAddress): boolean;
  /** Forwards beyond this many are refused, those with the highest uids. */
  readonly maxForwards: number;
}

/** All of it the same object for as long as nothing about it changed: that is what is compared. */
export interface PlanInput {
  /** In order of uid, each once. */
  readonly entries: Listed<ReadEntry>;
  readonly facts: HostFacts;
  readonly policy: PolicyCheck;
  readonly names: ReadonlyMap<string, Resolution>;
  readonly health: HealthView;
  /** Milliseconds since the epoch: decides what has expired. */
  readonly now: number;
}

export interface HealthView {
  /** Rises when an answer of {@link of} changes. */
  readonly version: number;
  of(address: IpAddress, port: number): Health | undefined;
}

export interface PlannerOptions {
  readonly capabilities: Carriers;
  /** The eight hex digits that name a forward's kernel objects, from its uid (see system/forward-key). */
  readonly keyOf: (uid: string, attempt?: number) => string;
  /** What the driver carries of a forward now, as far as this process knows. */
  readonly carried?: (uid: string) => PlacedForward | undefined;
}

/** Reasons that go away when the host changes, not when somebody edits the forward. */
const HOST_BOUND = new Set([
  'PORT_IN_USE',
  'PROTECTED',
  'INTERFACE_UNKNOWN',
  'SNAT_ADDRESS_UNKNOWN',
  'TARGET_IS_GATEWAY',
  'ANNOUNCE_NO_NETWORK',
  'ADDRESS_UNKNOWN',
]);

/**
 * Decides for each entry of the desired state by itself whether this gateway carries it. A bad one is refused with every violation that
 * was found and never touches another. Of two that claim the same listener (the control plane prevents it) the one with the lower uid
 * stays. Field paths in the violations start at the forward, for instance `spec.listen.ports`.
 *
 * The answer depends on the input alone. What was worked out for an earlier one is kept, and only what an entry's own change, its
 * rivals, its names or the host touch is worked out again: one change among tens of thousands costs about one.
 */
export class Planner {
  readonly #options: PlannerOptions;
  readonly #loopFree = new LoopFree();
  #claims = new Claims<Memo>();
  #byKey = new Multimap<string, Memo>();
  /** Those of which there is more to know than whether they are carried: few of many. */
  #special = new Set<Memo>();
  #carriedEgresses: Memo[] = [];
  #memos = SortedList.empty<Memo>();
  /** Whether some were refused for being too many. */
  #overfull = false;
  #last: { readonly input: PlanInput; readonly planned: Planned } | undefined;

  constructor(options: PlannerOptions) {
    this.#options = options;
  }

  plan(input: PlanInput): Planned {
    try {
      return this.#loopFree.of(this.#planFrom(input), input.facts);
    } catch (error) {
      // What was half remembered must not stand in the way of the next attempt.
      this.#claims = new Claims();
      this.#byKey = new Multimap();
      this.#special = new Set();
      this.#memos = SortedList.empty();
      this.#last = undefined;
      throw error;
    }
  }

  #planFrom(input: PlanInput): Planned {
    const last = this.#last;
    const { dirty, removed } = this.#take(changesOf(last?.input.entries ?? [], input.entries));
    // Without a last time all have just come.
    if (last && (last.input.policy !== input.policy || !this.#sameHost(last.input.facts, input.facts)))
      for (const memo of this.#memos) dirty.add(memo);
    else if (last) this.#addStale(dirty, input, last.input);
    const planned = last && dirty.size === 0 && removed.length === 0 ? last.planned : this.#anew(dirty, removed, input);
    this.#last = { input, planned };
    return planned;
  }

  #anew(dirty: Set<Memo>, removed: readonly Memo[], input: PlanInput): Planned {
    this.#closeOver(dirty);
    const inOrder = [...dirty].sort((a, b) => (a.uid < b.uid ? -1 : 1));
    this.#judge(inOrder, input);
    for (const memo of removed) this.#special.delete(memo);
    for (const memo of inOrder) this.#special[memo.isSpecial ? 'add' : 'delete'](memo);
    return this.#planned(inOrder, removed, input);
  }

  /** Whether nothing of the host changed that any forward depends on. */
  #sameHost(before: HostFacts, now: HostFacts): boolean {
    if (before === now) return true;
    const { sockets: a, ...others } = before;
    const { sockets: b, ...same } = now;
    const relevant = (sockets: HostFacts['sockets']) => sockets.filter((s) => this.#claims.wants(s.port));
    return equal(others, same) && equal(relevant(a), relevant(b));
  }

  /** Remembers what came and forgets what went: who is to be judged for that, and who is gone. */
  #take({ gone, come }: Changes<ReadEntry>): { readonly dirty: Set<Memo>; readonly removed: readonly Memo[] } {
    const dirty = new Set<Memo>();
    const removed = gone.flatMap(({ uid }) => this.#memos.get(uid) ?? []);
    for (const memo of removed) for (const rival of this.#release(memo)) dirty.add(rival);
    const made = come.map((entry) => new Memo(entry, this.#options.keyOf(entry.uid)));
    for (const memo of made) {
      if (memo.claims) this.#claims.add(memo);
      this.#byKey.add(memo.key, memo);
      dirty.add(memo);
    }
    for (const memo of removed) dirty.delete(memo);
    this.#memos = this.#memos.with({ gone: removed, come: made });
    return { dirty, removed };
  }

  /** Those that it may have stood in the way of. */
  #release(memo: Memo): readonly Memo[] {
    memo.gone = true;
    if (memo.claims) this.#claims.remove(memo);
    this.#byKey.remove(memo.key, memo);
    this.#giveBack(memo);
    const alike = this.#byKey.get(memo.key);
    return [...(memo.claims ? this.#claims.rivalsOf(memo) : []), ...alike, ...(memo.isEgress ? this.#egresses() : [])];
  }

  /** Adds what time, names and health have changed. */
  #addStale(dirty: Set<Memo>, input: PlanInput, last: PlanInput): void {
    for (const memo of this.#special) {
      if (memo.gone || dirty.has(memo)) continue;
      if (memo.expires !== undefined && memo.expires <= input.now !== memo.expires <= last.now) dirty.add(memo);
      else if (input.names !== last.names && memo.names.some((n) => input.names.get(n) !== last.names.get(n))) dirty.add(memo);
    }
    if (input.health.version === last.health.version) return;
    for (const memo of this.#memos) if (!dirty.has(memo) && memo.healthChanged(input.health)) dirty.add(memo);
  }

  /** Whether one is carried depends on all that it conflicts with, so they are judged together. */
  #closeOver(dirty: Set<Memo>): void {
    if (dirty.size === this.#memos.length) return;
    // A set visits what is added while it is walked.
    for (const memo of dirty) {
      if (memo.claims) for (const rival of this.#claims.rivalsOf(memo)) dirty.add(rival);
      for (const other of this.#byKey.get(memo.key)) dirty.add(other);
      if (memo.isEgress) for (const other of this.#egresses()) dirty.add(other);
    }
  }

  #egresses(): Memo[] {
    return [...this.#special].filter((m) => m.isEgress && !m.gone);
  }

  #judge(dirty: readonly Memo[], input: PlanInput): void {
    // Whoever touches one of them touches all.
    if (dirty.some((m) => m.isEgress)) this.#carriedEgresses = [];
    for (const memo of dirty) {
      memo.reset();
      this.#giveBack(memo);
    }
    for (const memo of dirty) {
      const { entry } = memo;
      if (entry.kind === 'forward') memo.settle(this.#ofForward(memo, entry.forward, input));
      else if (entry.kind === 'egress') memo.settle(this.#ofEgress(memo, entry.egress, input));
      else memo.settle(unreadable(entry));
    }
  }

  #ofForward(memo: Memo, forward: DesiredForward, input: PlanInput): Judgement {
    const { uid, generation, name, spec } = forward;
    const is = (verdict: Verdict, more?: Pick<Judgement, 'contended'>): Judgement =>
      more ? { uid, generation, name, spec, verdict, ...more } : { uid, generation, name, spec, verdict };
    if (!spec.enabled) return is({ kind: 'disabled' });
    if (spec.expires !== undefined && spec.expires <= input.now) return is({ kind: 'expired' });
    const forbidden = input.policy.forward(forward);
    if (forbidden.length > 0) return is({ kind: 'reject', reason: 'POLICY', violations: forbidden });
    const { facts, policy, names } = input;
    const carriers = this.#options.capabilities;
    const permitsLocal = (address: IpAddress) => policy.permitsLocal(address);
    const { carrier, found } = carriage(forward, { carriers, facts, names, permitsLocal });
    // The first in order of uid: whom the index finds first depends on who came first.
    const [rival] = this.#claims
      .rivalsOf(memo)
      .filter((m) => m.carried)
      .sort((x, y) => (x.uid < y.uid ? -1 : 1));
    if (rival)
      found.refuse(
        'LISTENER_TAKEN',
        'listen',
        `${formatListener(spec.listen)} already belongs to forward ${rival.name} (${formatListener(rival.spec.listen)}) on this gateway; choose another port or address`,
      );
    const key = this.#keyFor(memo, found);
    const late =
      carrier.by === 'kernel' && this.#cameLater(memo, found)
        ? { contended: { reason: found.reason, violations: inSpec(found.violations) } }
        : undefined;
    if (found.violations.length > 0 && !late)
      return is({ kind: 'reject', reason: found.reason, violations: inSpec(found.violations) });
    memo.carried = true;
    if (found.overruled.length > 0) memo.overruled = found.overruled;
    memo.announceOn = found.announceOn;
    const health = (address: IpAddress, port: number) => input.health.of(address, port);
    const question = { facts, names, health, permits: policy.permits };
    if (carrier.by === 'relay' && carriers.relay)
      return is(placeRelayed(forward, key, { ...question, permitsLocal, carrier, relay: carriers.relay }));
    if (!carriers.kernel) throw new Error(`nobody is there to carry forward ${uid}`);
    return is(place(forward, key, { ...question, capabilities: carriers.kernel }), late);
  }

  /**
   * A local program that takes the port of a forward that is in place does not end it: the kernel still rewrites the packets before
   * any socket sees them, and to let go would cut what works. It is kept, and degraded, until either goes away.
   */
  #cameLater(memo: Memo, found: { readonly onlyPortInUse: boolean }): boolean {
    const before = found.onlyPortInUse ? this.#options.carried?.(memo.uid) : undefined;
    if (!before) return false;
    const { listen } = memo.spec;
    return (
      before.listen.interface === listen.interface &&
      formatListener({ ...before.listen, announce: false }) === formatListener({ ...listen, announce: false })
    );
  }

  /** Its own key, or, where one with a lower uid has the same, its next. */
  #keyFor(memo: Memo, found: { refuse(reason: string, field: string, description: string): void }): string {
    const taken = (key: string) => [...this.#byKey.get(key)].some((o) => o !== memo && (key !== memo.key || o.carried));
    for (let attempt = 0; attempt < KEYS; attempt++) {
      const key = attempt === 0 ? memo.key : this.#options.keyOf(memo.uid, attempt);
      if (taken(key)) continue;
      if (key !== memo.key) this.#byKey.add(key, memo);
      memo.otherKey = key === memo.key ? undefined : key;
      return key;
    }
    found.refuse(
      'KEY_COLLISION',
      'uid',
      `its ${KEYS} keys, the first of them ${memo.key}, are all taken; delete it and add it again`,
    );
    return memo.key;
  }

  #giveBack(memo: Memo): void {
    if (memo.otherKey !== undefined) this.#byKey.remove(memo.otherKey, memo);
    memo.otherKey = undefined;
  }

  #ofEgress(memo: Memo, egress: DesiredEgress, input: PlanInput): Judgement {
    const { uid, generation, name, spec } = egress;
    const is = (verdict: Verdict): Judgement => ({ uid, generation, name, verdict });
    if (!spec.enabled) return is({ kind: 'disabled' });
    const forbidden = input.policy.egress(egress);
    if (forbidden.length > 0) return is({ kind: 'reject', reason: 'POLICY', violations: forbidden });
    const found = egressRefusals(egress, input.facts, this.#options.capabilities.kernel);
    const rival = this.#carriedEgresses.find(
      (m) => m.carried && m.entry.kind === 'egress' && egressesConflict(m.entry.egress.spec, spec),
    );
    if (rival)
      found.refuse(
        'SOURCE_TAKEN',
        'sources',
        `overlap with those of egress ${rival.name} on ${spec.outInterface}; change one of the two`,
      );
    const key = this.#keyFor(memo, found);
    if (found.violations.length > 0) return is({ kind: 'reject', reason: found.reason, violations: inSpec(found.violations) });
    memo.carried = true;
    this.#carriedEgresses.push(memo);
    return is({ kind: 'place-egress', egress: placeEgress(egress, key) });
  }

  #planned(judged: readonly Memo[], removed: readonly Memo[], { facts, policy }: PlanInput): Planned {
    const before = this.#last?.planned;
    const { forwards, relayed, judgements } = this.#lists(judged, removed, before, policy.maxForwards);
    const announced = new Map<string, AnnouncedAddress>();
    const overruled = new Set<string>();
    const names = new Set<string>();
    const egresses: PlacedEgress[] = [];
    let nextExpiry = Number.POSITIVE_INFINITY;
    let awaitsHost = false;
    for (const memo of [...this.#special].sort((a, b) => (a.uid < b.uid ? -1 : 1))) {
      const { verdict, contended } = memo.judgement;
      if ((verdict.kind === 'place' || verdict.kind === 'relay') && memo.announceOn !== undefined)
        announce(announced, verdict, { key: memo.otherKey ?? memo.key, on: memo.announceOn });
      if (verdict.kind === 'place') for (const p of memo.overruled) overruled.add(nameOf(p));
      if (verdict.kind === 'place-egress') egresses.push(verdict.egress);
      if (contended || (verdict.kind === 'reject' && HOST_BOUND.has(verdict.reason))) awaitsHost = true;
      if (memo.expires !== undefined && verdict.kind !== 'expired') nextExpiry = Math.min(nextExpiry, memo.expires);
      for (const name of memo.names) names.add(name);
    }
    const guarded = facts.protected.filter((p) => !overruled.has(nameOf(p)));
    const inOrder = [...announced.values()].sort((a, b) => (a.address.text < b.address.text ? -1 : 1));
    return {
      host: {
        forwards,
        egresses: same(before?.host.egresses, egresses, (a, b) => a === b),
        protected: same(before?.host.protected, guarded, equal),
        relayed,
        announced: same(before?.host.announced, inOrder, equal),
      },
      judgements,
      names: before && sameNames(before.names, names) ? before.names : names,
      ...(nextExpiry === Number.POSITIVE_INFINITY ? {} : { nextExpiry }),
      awaitsHost,
    };
  }

  /** All judgements and what is carried, from those of before as far as they still hold. */
  #lists(judged: readonly Memo[], removed: readonly Memo[], before: Planned | undefined, most: number): Lists {
    const now = judged.map((m) => m.judgement);
    const carried = before ? before.host.forwards.length + before.host.relayed.length : 0;
    // Whoever is one too many may be another one than before.
    if (!before || this.#overfull || (this.#memos.length > most && carried + now.length > most)) {
      const all = this.#memos.map((m) => m.judgement);
      const fitting = limited(all, most);
      this.#overfull = fitting !== all;
      return listsOf(NO_LISTS, [], fitting);
    }
    const { host, judgements } = before;
    return listsOf({ forwards: host.forwards, relayed: host.relayed, judgements }, removed, now);
  }
}

interface Lists {
  readonly forwards: Listed<PlacedForward>;
  readonly relayed: Listed<PlacedRelayed>;
  readonly judgements: SortedList<Judgement>;
}

const NO_LISTS: Lists = { forwards: SortedList.empty(), relayed: SortedList.empty(), judgements: SortedList.empty() };

/** The lists of before without those that are gone, and with what is said of others now. */
function listsOf(before: Lists, removed: readonly Item[], now: readonly Judgement[]): Lists {
  const gone = [...removed, ...now];
  const forwards = now.flatMap(({ verdict }) => (verdict.kind === 'place' ? [verdict.forward] : []));
  const relayed = now.flatMap(({ verdict }) => (verdict.kind === 'relay' ? [verdict.forward] : []));
  return {
    forwards: SortedList.from(before.forwards).with({ gone, come: forwards }),
    relayed: SortedList.from(before.relayed).with({ gone, come: relayed }),
    judgements: before.judgements.with({ gone: removed, come: now }),
  };
}

/** So many keys a forward has: that all are taken does not happen. */
const KEYS = 4;

function announce(
  all: Map<string, AnnouncedAddress>,
  { kind, forward: { listen } }: Verdict & { readonly kind: 'place' | 'relay' },
  { key, on }: { readonly key: string; readonly on: string },
): void {
  if (!listen.address) return;
  const old = all.get(listen.address.text);
  all.set(listen.address.text, {
    address: listen.address,
    interface: old?.interface ?? on,
    forwards: [...(old?.forwards ?? []), key],
    ...(kind === 'relay' || old?.bound ? { bound: true } : {}),
  });
}

const nameOf = ({ kind, protocol, address, port }: ProtectedListener) => `${kind} ${protocol} ${address?.text ?? '*'} ${port}`;

/** Of more forwards than the gateway's administrator allows, the first are carried. The same list where all are. */
function limited(judgements: readonly Judgement[], most: number): readonly Judgement[] {
  let carried = 0;
  if (judgements.length <= most || judgements.filter(isCarried).length <= most) return judgements;
  return judgements.map((j) => (isCarried(j) && ++carried > most ? tooMany(j, most) : j));
}

const isCarried = ({ verdict }: Judgement): boolean => verdict.kind === 'place' || verdict.kind === 'relay';

function tooMany(judgement: Judgement, most: number): Judgement {
  const violations = [{ field: 'policy.maxForwards', description: `the policy of this gateway allows ${most} forwards` }];
  return { ...judgement, verdict: { kind: 'reject', reason: 'POLICY', violations } };
}

function unreadable({ uid, generation, name, violations }: ReadEntry & { readonly kind: 'invalid' }): Judgement {
  return { uid, generation, name, verdict: { kind: 'reject', reason: 'INVALID_FORWARD', violations } };
}

/** The list of before where it says the same. */
const same = <T>(before: readonly T[] | undefined, now: readonly T[], alike: (a: T, b: T) => boolean): readonly T[] =>
  before && before.length === now.length && before.every((b, i) => alike(b, now[i] as T)) ? before : now;

const sameNames = (a: ReadonlySet<string>, b: ReadonlySet<string>) => a.size === b.size && [...b].every((n) => a.has(n));

/** The checks' paths begin inside the spec; users know them from its outside. */
const inSpec = (violations: readonly Violation[]): Violation[] =>
  violations.map((v) => ({ ...v, field: v.field === 'uid' ? v.field : `spec.${v.field}` }));
