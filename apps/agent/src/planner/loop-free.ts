import { formatListener } from '@gwctl/shared/domain/forward';
import type { Violation } from '@gwctl/shared/domain/result';
import { equal } from './equal.js';
import { type LeadsBack, RelayGraph, type Relaying } from './relay-graph.js';
import { changesOf, SortedList } from './sorted-list.js';
import { bad } from './targets.js';
import type { HostFacts, Judgement, PlacedTarget, Planned, Verdict } from './types.js';

type Relayed = Judgement & { readonly verdict: Verdict & { readonly kind: 'relay' } };

/**
 * Takes out of plans what would have relayed forwards of this gateway feed each other without end: A has B's listener for a target, and B
 * A's, or so on by way of more. Whoever closes the circle, the one with the highest uid, is refused, or loses the addresses of a name
 * that lead there; the others stay.
 */
export class LoopFree {
  readonly #graph = new RelayGraph();
  #last: { readonly planned: Planned; readonly answer: Planned } | undefined;
  #instead: ReadonlyMap<string, Judgement> = new Map();

  /** The same object for the same plan, and the plan itself where nothing is to be taken out of it. */
  of(planned: Planned, { addresses }: HostFacts): Planned {
    const last = this.#last;
    let changed = this.#graph.setAddresses(addresses);
    if (last?.planned !== planned) {
      const { gone, come } = changesOf(last?.planned.judgements ?? NONE, planned.judgements);
      for (const { uid } of gone) changed = this.#graph.remove(uid) || changed;
      for (const judgement of come) {
        if (!isRelayed(judgement)) continue;
        this.#graph.add(relayingOf(judgement));
        changed = true;
      }
    } else if (!changed) return last.answer;
    if (changed) this.#instead = this.#judged(planned);
    const answer = this.#instead.size === 0 ? planned : withInstead(planned, this.#instead, last?.answer);
    this.#last = { planned, answer };
    return answer;
  }

  /** What is said of those that close a circle; the same objects where it is the same as last time. */
  #judged({ judgements }: Planned): ReadonlyMap<string, Judgement> {
    const instead = new Map<string, Judgement>();
    this.#graph.closeCircles((relaying, back) => {
      const judgement = judgements.get(relaying.uid);
      if (!judgement || !isRelayed(judgement)) return relaying;
      const now = broken(judgement, back);
      const before = this.#instead.get(relaying.uid);
      instead.set(relaying.uid, before && equal(before, now) ? before : now);
      return isRelayed(now) ? relayingOf(now) : undefined;
    });
    return instead;
  }
}

const NONE = SortedList.empty<Judgement>();

const isRelayed = (judgement: Judgement): judgement is Relayed => judgement.verdict.kind === 'relay';

/** In rotation or not: whether a target answers must not decide who is refused. */
const relayingOf = ({ uid, name, verdict: { forward, addresses } }: Relayed): Relaying => ({
  uid,
  name,
  listen: forward.listen,
  targets: addresses,
});

/** Addresses that the forward names are refused; those of a name are left out, for its owner may say something else tomorrow. */
function broken(judgement: Relayed, back: readonly LeadsBack[]): Judgement {
  const { spec, verdict } = judgement;
  const violations = back.flatMap(({ target, via }): Violation[] => {
    const i = spec?.targets.findIndex(
      ({ host, port }) =>
        host.kind === 'ip' && host.address.text === target.address.text && (port ?? spec.listen.ports?.first) === target.port,
    );
    if (i === undefined || i < 0) return [];
    const description = `${target.address.text} leads back to this very listener by way of ${named(via)}, without end; name another target in one of them`;
    return [{ field: `spec.targets[${i}].host`, description }];
  });
  if (violations.length > 0) return { ...judgement, verdict: { kind: 'reject', reason: 'TARGET_IS_LISTENER', violations } };
  const isBack = (t: PlacedTarget) => back.some(({ target }) => sameTarget(target, t));
  const remarks = back.map(({ target, via }) => {
    const host = verdict.targets.find((t) => t.address === target.address.text && t.port === target.port)?.host;
    const text = `${host ?? 'a target'} has ${target.address.text}, which leads back to the forward's own listener by way of ${named(via)}; it is left out`;
    return bad('TargetsUsable', 'TARGET_FORBIDDEN', text);
  });
  const left = verdict.forward.targets.filter((t) => !isBack(t));
  if (left.length === 0) return { ...judgement, verdict: { kind: 'wait', remarks: [...verdict.remarks, ...remarks] } };
  return {
    ...judgement,
    verdict: {
      ...verdict,
      forward: { ...verdict.forward, targets: left, down: verdict.forward.down.filter((t) => !isBack(t)) },
      addresses: verdict.addresses.filter((t) => !isBack(t)),
      targets: verdict.targets.filter((v) => !back.some(({ target: t }) => t.address.text === v.address && t.port === v.port)),
      remarks: [...verdict.remarks, ...remarks],
    },
  };
}

const sameTarget = (a: PlacedTarget, b: PlacedTarget) => a.address.text === b.address.text && a.port === b.port;

/** Forwards that a message names of a long circle. */
const NAMED = 4;

/** `forward web (192.0.2.1:80/tcp)`, and so on. */
function named(via: readonly Relaying[]): string {
  const names = via.slice(0, NAMED).map(({ name, listen: { address, ports, transports } }) => {
    const protocol = transports.length > 1 ? 'tcp+udp' : (transports[0] ?? 'tcp');
    return `forward ${name} (${formatListener({ ...(address ? { address } : {}), protocol, ports, announce: false })})`;
  });
  return `${names.join(' and ')}${via.length > NAMED ? ` and ${via.length - NAMED} more` : ''}`;
}

/** `before`: an earlier answer, of which is taken what is still the same. */
function withInstead(planned: Planned, instead: ReadonlyMap<string, Judgement>, before: Planned | undefined): Planned {
  const { host } = planned;
  const now = [...instead.values()];
  const carried = now.flatMap((j) => (isRelayed(j) ? [j.verdict.forward] : []));
  const relayed = SortedList.from(host.relayed).with({ gone: now, come: carried });
  const refused = new Set(now.filter((j) => !isRelayed(j)).flatMap((j) => SortedList.from(host.relayed).get(j.uid)?.key ?? []));
  const announced = host.announced.flatMap((a) => {
    const forwards = a.forwards.filter((key) => !refused.has(key));
    if (forwards.length === a.forwards.length) return [a];
    return forwards.length === 0 ? [] : [{ ...a, forwards }];
  });
  const same = before?.host;
  const { gone, come } = changesOf(SortedList.from(same?.relayed ?? []), relayed);
  return {
    ...planned,
    host: {
      ...host,
      relayed: same && gone.length + come.length === 0 ? same.relayed : relayed,
      announced: same && equal(same.announced, announced) ? same.announced : announced,
    },
    judgements: planned.judgements.with({ gone: [], come: now }),
  };
}
