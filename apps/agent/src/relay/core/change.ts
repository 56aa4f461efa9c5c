import { isNarrower } from '@gwctl/shared/domain/ip';
import type { RelayedForward, RelayTarget, Transport } from '../types.js';
import { AllowList } from './allow.js';

/** What a change looks at of a flow. */
export interface StandingFlow {
  readonly transport: Transport;
  /** 4 or 16 bytes. */
  readonly client: Uint8Array;
  /** The port that the client came to. */
  readonly listenPort: number;
  /** Where it really goes: the address, and the port with the range's distance added. */
  readonly target: { readonly address: string; readonly port: number };
}

/** Which flows a new state of a forward ends. */
export interface Change {
  ends(flow: StandingFlow): boolean;
}

/**
 * What `now` means for the flows of `was`, as the kernel drivers have it. Whatever the policy, clients that are no longer allowed are
 * ended: they must not stay. To a listener or target that is gone: `cut` ends them; `drain` ends UDP, which would have no end otherwise
 * (its client goes on with a target of now), and TCP to a target that was found down; `keep` ends none. A new source address ends flows
 * with the old one under `cut` only.
 */
export function changeOf(was: RelayedForward, now: RelayedForward): Change {
  const narrowed = isNarrower(now.allow, was.allow) ? new AllowList(now.allow) : undefined;
  const cut = now.onChange === 'cut';
  const drain = now.onChange === 'drain';
  const otherSource = cut && now.source?.text !== was.source?.text;
  const otherPlace = now.listen.address?.text !== was.listen.address?.text || now.listen.interface !== was.listen.interface;
  return {
    ends(flow) {
      if (narrowed && !narrowed.allows(flow.client)) return true;
      if (!cut && !drain) return false;
      const heard = !otherPlace && hears(now, flow);
      if (heard && sendsTo(now, now.targets, flow)) return otherSource;
      return cut || flow.transport === 'udp' || (heard && sendsTo(now, now.down, flow));
    },
  };
}

/** Whether anything can end: where nothing can, an engine need not look at its flows. */
export function mayEnd(was: RelayedForward, now: RelayedForward): boolean {
  if (isNarrower(now.allow, was.allow)) return true;
  if (now.onChange === 'keep') return false;
  const { listen } = now;
  const before = was.listen;
  const sameListener =
    listen.address?.text === before.address?.text &&
    listen.interface === before.interface &&
    before.transports.every((t) => listen.transports.includes(t)) &&
    before.families.every((f) => listen.families.includes(f)) &&
    listen.ports.first === before.ports.first &&
    listen.ports.last >= before.ports.last;
  const has = (some: readonly RelayTarget[], t: RelayTarget) =>
    some.some((o) => o.address.text === t.address.text && o.port === t.port);
  return (
    !sameListener ||
    !was.targets.every((t) => has(now.targets, t)) ||
    now.down.length > 0 ||
    now.source?.text !== was.source?.text
  );
}

function hears({ listen }: RelayedForward, { transport, client, listenPort }: StandingFlow): boolean {
  const family = client.length === 4 ? 4 : 6;
  return (
    listen.transports.includes(transport) &&
    listen.families.includes(family) &&
    listenPort >= listen.ports.first &&
    listenPort <= listen.ports.last
  );
}

function sendsTo({ listen }: RelayedForward, targets: readonly RelayTarget[], { listenPort, target }: StandingFlow): boolean {
  const distance = listenPort - listen.ports.first;
  return targets.some((t) => t.address.text === target.address && t.port + distance === target.port);
}
