import type { TrafficSpec } from '@gwctl/shared/domain/forward';
import type { IpAddress } from '@gwctl/shared/domain/ip';
import { equal } from './equal.js';
import { probedPort } from './targets.js';
import type { Health, Judgement, ProtectedListener, ReadEntry, Verdict } from './types.js';

/** What the planner remembers of one entry between two plans. */
export class Memo {
  readonly entry: ReadEntry;
  readonly uid: string;
  readonly key: string;
  /** DNS names that its targets and sources are made of. */
  readonly names: readonly string[];
  /** Milliseconds since the epoch. */
  readonly expires: number | undefined;
  /** Whether it is carried, so that its listener is taken. */
  carried = false;
  /** In place of {@link key}, which another one has. */
  otherKey: string | undefined;
  /** Whether the entry is no longer wanted. */
  gone = false;
  overruled: readonly ProtectedListener[] = NO_LISTENERS;
  announceOn: string | undefined;
  #judgement: Judgement | undefined;

  constructor(entry: ReadEntry, key: string) {
    this.entry = entry;
    this.uid = entry.uid;
    this.key = key;
    const spec = entry.kind === 'forward' ? entry.forward.spec : undefined;
    this.expires = spec?.expires;
    this.names = spec ? namesOf(spec) : NONE;
  }

  /** Of a forward. */
  get spec(): TrafficSpec {
    if (this.entry.kind !== 'forward') throw new Error(`${this.uid} is no forward`);
    return this.entry.forward.spec;
  }

  get name(): string {
    const { entry } = this;
    return entry.kind === 'forward' ? entry.forward.name : entry.kind === 'egress' ? entry.egress.name : entry.name;
  }

  /** Whether it would take a listener, if nothing spoke against it. */
  get claims(): boolean {
    return this.entry.kind === 'forward' && this.entry.forward.spec.enabled;
  }

  get isEgress(): boolean {
    return this.entry.kind === 'egress';
  }

  /** Whether there is more to know of it than whether it is carried. */
  get isSpecial(): boolean {
    const { verdict, contended } = this.judgement;
    return (
      this.isEgress ||
      this.expires !== undefined ||
      this.names.length > 0 ||
      this.announceOn !== undefined ||
      this.overruled.length > 0 ||
      contended !== undefined ||
      verdict.kind === 'reject'
    );
  }

  /** Before it is judged again. */
  reset(): void {
    this.carried = false;
    this.overruled = NO_LISTENERS;
    this.announceOn = undefined;
  }

  get judgement(): Judgement {
    if (!this.#judgement) throw new Error(`${this.uid} was not judged`);
    return this.#judgement;
  }

  /** Keeps the object of before where nothing changed, so that whoever depends on it has nothing to do. */
  settle(judgement: Judgement): void {
    const before = this.#judgement;
    if (before && equal(before, judgement)) return;
    this.#judgement = withForwardOf(before?.verdict, judgement);
  }

  /** Whether something else is known of a target than when it was judged. */
  healthChanged(view: { of(address: IpAddress, port: number): Health | undefined }): boolean {
    const { spec, verdict } = this.judgement;
    if ((verdict.kind !== 'place' && verdict.kind !== 'relay') || !spec) return false;
    const port = probedPort(spec);
    if (!port) return false;
    return verdict.addresses.some((target, i) => view.of(target.address, port(target)) !== verdict.targets[i]?.health);
  }
}

/** Where what is carried says the same, it is the same object, so that a driver has nothing to do. */
function withForwardOf(before: Verdict | undefined, judgement: Judgement): Judgement {
  const { verdict } = judgement;
  if (verdict.kind === 'place' && before?.kind === 'place' && equal(before.forward, verdict.forward))
    return { ...judgement, verdict: { ...verdict, forward: before.forward } };
  if (verdict.kind === 'relay' && before?.kind === 'relay' && equal(before.forward, verdict.forward))
    return { ...judgement, verdict: { ...verdict, forward: before.forward } };
  return judgement;
}

const NONE: readonly string[] = [];
const NO_LISTENERS: readonly ProtectedListener[] = [];

function namesOf(spec: TrafficSpec): readonly string[] {
  const names = [
    ...spec.targets.flatMap((t) => (t.host.kind === 'dns' ? [t.host.name] : [])),
    ...spec.allowSources.flatMap((s) => (s.kind === 'dns' ? [s.name] : [])),
  ];
  return names.length === 0 ? NONE : [...new Set(names)];
}
