import { isLoopback, kernelCannot, relayCannot } from '@gwctl/shared/domain/carriers';
import { familyOf, transports } from '@gwctl/shared/domain/forward';
import type { IpAddress } from '@gwctl/shared/domain/ip';
import { rangeWidth } from '@gwctl/shared/domain/ports';
import type { CarrierQuestion } from './carrier.js';
import { checkAnnounced, checkInterface, checkSnat, claims, Refusals } from './refusals.js';
import { addressOf, isOwn, wrongAsTarget } from './targets.js';
import type { DesiredForward, HostFacts, RelayCapabilities } from './types.js';

/** Everything that speaks against the relay's carrying `forward`. */
export function relayRefusals(forward: DesiredForward, question: CarrierQuestion): Refusals {
  const found = new Refusals();
  const { relay } = question.carriers;
  const { spec } = forward;
  if (!relay) {
    const text = 'driver relay is not available on this gateway: its agent runs without one; use auto or kernel';
    found.refuse('DRIVER_NOT_AVAILABLE', 'driver', text);
    return found;
  }
  const advice = !question.carriers.kernel
    ? 'and this gateway has nothing but the relay'
    : spec.driver === 'relay'
      ? 'leave it out, or use driver auto or kernel'
      : 'and what else the forward says, the kernel cannot do';
  for (const { field, description } of relayCannot(spec)) found.refuse('RELAY_CANNOT', field, `${description}; ${advice}`);
  if (spec.driver === 'auto' && question.carriers.kernel && found.violations.length > 0)
    for (const { field, description } of kernelCannot(spec))
      found.refuse('RELAY_NEEDED', field, `${description}; only the relay could`);
  refuseUnsupported(forward, relay, found);
  checkTargets(forward, question, found);
  checkListener(forward, question.facts, relay, found);
  checkSnat(forward, question.facts, found);
  return found;
}

function refuseUnsupported({ spec }: DesiredForward, can: RelayCapabilities, found: Refusals): void {
  const { listen, targets } = spec;
  const not = (field: string, description: string) => found.refuse('NOT_SUPPORTED_YET', field, description);
  const family = familyOf(spec);
  if (!can.families.includes(family))
    not(listen.address ? 'listen.address' : 'targets[0].host', `this gateway has no IPv${family}`);
  if (targets.length > can.targets)
    not('targets', `${targets.length} targets are more than the ${can.targets} that the relay can carry`);
  if (listen.announce && !can.announce)
    not(
      'listen.announce',
      'announcing an address needs privileges that this agent does not have; leave announce out and give the address to the gateway',
    );
}

function checkTargets({ spec }: DesiredForward, { facts, permitsLocal }: CarrierQuestion, found: Refusals): void {
  spec.targets.forEach((target, i) => {
    const address = addressOf(target);
    if (!address) return;
    const field = `targets[${i}].host`;
    const wrong = wrongAsTarget(address, facts, permitsLocal);
    const local = isOwn(address, facts) || isLoopback(address);
    if (wrong !== undefined)
      found.refuse(
        isOwn(address, facts) && !isLoopback(address) ? 'TARGET_IS_GATEWAY' : 'TARGET_FORBIDDEN',
        field,
        local
          ? `${address.text} is ${wrong}, to which nothing is forwarded unless the gateway's own policy file names it in targets.allow; let the service listen on the wanted port itself, or ask the gateway's administrator`
          : `${address.text} is ${wrong}, to which nothing is forwarded; name the address of the host that offers the service`,
      );
    else if (leadsBack(spec.listen, { address, port: target.port ?? spec.listen.ports?.first }, facts))
      found.refuse('TARGET_IS_LISTENER', field, `${address.text} leads back to this very listener; name another port`);
  });
}

/** Whether connections to a target would come to the listener they came from, and so on without end. */
export function leadsBack(
  { address, ports }: DesiredForward['spec']['listen'],
  target: { readonly address: IpAddress; readonly port: number | undefined },
  facts: HostFacts,
): boolean {
  const { port } = target;
  if (!ports || port === undefined) return false;
  if (port > ports.last || port + rangeWidth(ports) - 1 < ports.first) return false;
  if (address) return address.text === target.address.text;
  return isLoopback(target.address) || facts.addresses.some((a) => a.address.text === target.address.text);
}

function checkListener(forward: DesiredForward, facts: HostFacts, can: RelayCapabilities, found: Refusals): void {
  const { listen } = forward.spec;
  const { address } = listen;
  checkInterface(forward, facts, found);
  if (can.announce) checkAnnounced(forward, facts, found);
  if (address && !listen.announce && !isLoopback(address) && !isOwn(address, facts))
    found.refuse(
      'ADDRESS_UNKNOWN',
      'listen.address',
      `${address.text} is no address of this gateway, so the relay cannot listen there; use one of its own${can.announce ? ', or announce it' : ''}`,
    );
  const claimed = facts.protected.filter((p) => claims(forward, p, facts) || binds(forward, p));
  for (const { protocol, port, reason, address: on } of claimed)
    found.refuse(
      'PROTECTED',
      'listen.ports',
      `${protocol} port ${port} of ${on?.text ?? 'the gateway'} is ${reason}, from which the relay can take nothing; choose another port or address`,
    );
  const socket = facts.sockets.find(
    (s) => binds(forward, s) && !claimed.some((p) => p.protocol === s.protocol && p.port === s.port),
  );
  if (socket)
    found.refuse(
      'PORT_IN_USE',
      'listen.ports',
      `${socket.protocol} port ${socket.port} is in use on this gateway by ${socket.owner ?? 'a local program'} (${socket.address?.text ?? '*'}), and the relay needs it for itself; stop that, or choose another port or address`,
    );
}

/** Whether one of both sockets keeps the other from being bound: of the same port, and of addresses that have something in common. */
function binds(
  { spec }: DesiredForward,
  other: { readonly protocol: 'tcp' | 'udp'; readonly address?: IpAddress; readonly port: number },
): boolean {
  const { address, protocol, ports } = spec.listen;
  if (!transports(protocol).includes(other.protocol)) return false;
  if (!ports || other.port < ports.first || other.port > ports.last) return false;
  return !address || !other.address || address.text === other.address.text;
}
