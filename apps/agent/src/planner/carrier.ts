import { kernelCannot } from '@gwctl/shared/domain/carriers';
import { familyOf, type TrafficSpec } from '@gwctl/shared/domain/forward';
import type { IpAddress } from '@gwctl/shared/domain/ip';
import { Refusals, refusals } from './refusals.js';
import { relayRefusals } from './relay-refusals.js';
import { addressOf, isOwn } from './targets.js';
import type { Carriers, DesiredForward, DriverCapabilities, HostFacts, RelayReason, Resolution } from './types.js';

/** Who is to carry a forward. */
export type Carrier =
  | { readonly by: 'kernel' }
  | {
      readonly by: 'relay';
      readonly reason: RelayReason;
      /** For people. */
      readonly because: string;
    };

export interface CarrierQuestion {
  readonly carriers: Carriers;
  readonly facts: HostFacts;
  readonly names: ReadonlyMap<string, Resolution>;
  /** Whether the gateway's administrator names an address of its own, or of its loopback, as a target. */
  readonly permitsLocal: (address: IpAddress) => boolean;
}

const KERNEL: Carrier = { by: 'kernel' };

/** Who is to carry `forward`, and what speaks against it. */
export function carriage(
  forward: DesiredForward,
  question: CarrierQuestion,
): { readonly carrier: Carrier; readonly found: Refusals } {
  const { kernel, without } = question.carriers;
  const carrier = carrierOf(forward, question);
  if (carrier.by === 'relay') return { carrier, found: relayRefusals(forward, question) };
  if (kernel) return { carrier, found: refusals(forward, question.facts, kernel) };
  const found = new Refusals();
  const why = without === undefined ? '' : `: ${without}`;
  found.refuse('DRIVER_NOT_AVAILABLE', 'driver', `driver kernel is not available on this gateway${why}; use auto or relay`);
  return { carrier, found };
}

/** `auto`: the kernel where it can, for it is the faster one and keeps no state in a process; the relay where it must. */
function carrierOf({ spec }: DesiredForward, question: CarrierQuestion): Carrier {
  const { kernel, relay, without } = question.carriers;
  if (spec.driver === 'kernel') return KERNEL;
  if (spec.driver === 'relay') return chosen(spec);
  if (!relay) return KERNEL;
  if (!kernel) {
    const why = without ?? 'no kernel driver works on this gateway';
    return { by: 'relay', reason: 'RELAY_ONLY', because: `everything here is carried by the relay: ${why}` };
  }
  const needs = kernelLacks(spec, kernel, question);
  return needs.length === 0 ? KERNEL : { by: 'relay', reason: 'RELAY_NEEDED', because: needs.join('; ') };
}

/** Options of the relay come with this driver though the forward may say `auto`; then they are the reason. */
function chosen(spec: TrafficSpec): Carrier {
  const needs = spec.relay ? kernelCannot(spec).map((v) => `${v.field}: ${v.description}`) : [];
  if (needs.length > 0) return { by: 'relay', reason: 'RELAY_NEEDED', because: needs.join('; ') };
  return { by: 'relay', reason: 'RELAY_CHOSEN', because: 'the forward asks for it (driver relay)' };
}

/** What of a forward this gateway's kernel cannot do and the relay may, for people. */
function kernelLacks(spec: TrafficSpec, kernel: DriverCapabilities, question: CarrierQuestion): readonly string[] {
  const { facts, names, permitsLocal } = question;
  const { listen, targets } = spec;
  const needs = kernelCannot(spec).map((v) => `${v.field}: ${v.description}`);
  const family = familyOf(spec);
  if (!kernel.families.includes(family)) needs.push(`the kernel driver of this gateway cannot carry IPv${family}`);
  if (!kernel.protocols.includes(listen.protocol))
    needs.push(`the kernel driver of this gateway does not take ${listen.protocol}`);
  if (listen.ports && listen.ports.first !== listen.ports.last && !kernel.portRanges)
    needs.push('the kernel driver of this gateway takes no port ranges');
  const most = spec.affinity === 'client' && targets.length > 1 ? kernel.affinityTargets : kernel.targets;
  if (targets.length > most) needs.push(`${targets.length} targets are more than the ${most} of this gateway's kernel driver`);
  targets.forEach((target, i) => {
    const address = addressOf(target);
    if (address && isOwn(address, facts) && permitsLocal(address))
      needs.push(`targets[${i}].host: ${address.text} is the gateway itself, to which the kernel forwards nothing`);
  });
  if (onlyOtherFamily(spec, family, names))
    needs.push(`the names of its targets have IPv${family === 4 ? 6 : 4} addresses only, and the listener is IPv${family}`);
  return needs;
}

/** Whether the targets are names that have good answers, none of them of the family. */
function onlyOtherFamily({ targets }: TrafficSpec, family: 4 | 6, names: CarrierQuestion['names']): boolean {
  let other = false;
  for (const { host } of targets) {
    if (host.kind === 'ip') {
      if (host.address.family === family) return false;
      continue;
    }
    const known = names.get(host.name)?.addresses ?? [];
    if (known.some((a) => a.family === family)) return false;
    other ||= known.length > 0;
  }
  return other;
}
