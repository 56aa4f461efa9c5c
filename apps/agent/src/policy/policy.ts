import { isLoopback } from '@gwctl/shared/domain/carriers';
import { type Cidr, contains, formatCidr, type IpAddress, parseCidr } from '@gwctl/shared/domain/ip';
import { parseInterface } from '@gwctl/shared/domain/names';
import { formatPortRange, type PortRange, parsePort } from '@gwctl/shared/domain/ports';
import { err, ok, quote, type Result, type Violation, ViolationList } from '@gwctl/shared/domain/result';
import { MAX_FORWARDS } from '../desired/types.js';
import type { PolicyCheck } from '../planner/planner.js';
import type { DesiredForward } from '../planner/types.js';

/**
 * What the administrator of a gateway permits, whatever the control plane wants. Link-local targets are refused with and without a
 * policy, by the planner; those on the gateway's loopback, and its own addresses, unless the policy names them: see `permitsLocal`.
 */
export interface Policy {
  /** Undefined: any. Where set, a forward must name one of them. */
  readonly interfaces?: readonly string[];
  /** Undefined: any. */
  readonly ports?: readonly PortRange[];
  /** Undefined: any that is not forbidden. */
  readonly targets?: readonly Cidr[];
  readonly forbidden: readonly Cidr[];
  readonly maxForwards: number;
  /** No forward at all. */
  readonly killSwitch: boolean;
}

export const NO_POLICY: Policy = { forbidden: [], maxForwards: MAX_FORWARDS, killSwitch: false };

const KEYS = ['apiVersion', 'kind', 'listen', 'targets', 'maxForwards', 'killSwitch'] as const;

/** Reads a policy that was parsed as YAML. Every problem is found; unknown keys are refused, because a misspelt limit is none. */
export function parsePolicy(document: unknown): Result<Policy, readonly Violation[]> {
  const bad = new ViolationList();
  const root = section(document, '', KEYS, bad);
  if (root.apiVersion !== 'gwctl/v1') bad.add('apiVersion', `is ${show(root.apiVersion)}; write gwctl/v1`);
  if (root.kind !== 'Policy') bad.add('kind', `is ${show(root.kind)}; write Policy`);
  const listen = section(root.listen, 'listen', ['interfaces', 'ports'], bad);
  const targets = section(root.targets, 'targets', ['allow', 'forbid'], bad);
  const interfaces = list(listen.interfaces, 'listen.interfaces', parseInterface, bad);
  const ports = list(listen.ports, 'listen.ports', parsePorts, bad);
  const allow = list(targets.allow, 'targets.allow', parseCidr, bad);
  const forbid = list(targets.forbid, 'targets.forbid', parseCidr, bad);
  const { maxForwards = MAX_FORWARDS, killSwitch = false } = root;
  if (typeof maxForwards !== 'number' || !Number.isInteger(maxForwards) || maxForwards < 0 || maxForwards > MAX_FORWARDS)
    bad.add('maxForwards', `${show(maxForwards)} is not a whole number from 0 to ${MAX_FORWARDS}`);
  if (typeof killSwitch !== 'boolean') bad.add('killSwitch', `${show(killSwitch)} is neither true nor false`);
  if (bad.items.length > 0) return err(bad.items);
  return ok({
    ...(interfaces ? { interfaces } : {}),
    ...(ports ? { ports } : {}),
    ...(allow ? { targets: allow } : {}),
    forbidden: forbid ?? [],
    maxForwards: Number(maxForwards),
    killSwitch: killSwitch === true,
  });
}

/** Checks against a policy. The same object for as long as the policy is the same. */
export function policyCheck(policy: Policy): PolicyCheck {
  return {
    forward: (forward) => violationsOf(policy, forward),
    egress: () => (policy.killSwitch ? [KILLED] : []),
    permits: (address) =>
      !policy.forbidden.some((n) => contains(n, address)) &&
      (policy.targets === undefined || policy.targets.some((n) => contains(n, address))),
    permitsLocal: (address) =>
      !policy.forbidden.some((n) => contains(n, address)) && policy.targets?.some((n) => names(n, address)) === true,
    maxForwards: policy.maxForwards,
  };
}

/** Whether a network is meant to hold this address of the gateway's own: a network of its loopback, or the address alone. */
const names = (network: Cidr, address: IpAddress): boolean =>
  contains(network, address) &&
  (network.prefix === (network.family === 4 ? 32 : 128) || (isLoopback(address) && network.family === 4 && network.prefix >= 8));

const KILLED: Violation = {
  field: 'policy.killSwitch',
  description: 'the policy of this gateway has its kill switch on: nothing is carried',
};

function violationsOf(policy: Policy, { spec }: DesiredForward): Violation[] {
  if (policy.killSwitch) return [KILLED];
  const bad = new ViolationList();
  const { listen } = spec;
  if (policy.interfaces && (listen.interface === undefined || !policy.interfaces.includes(listen.interface)))
    bad.add(
      'spec.listen.interface',
      `the policy of this gateway allows listeners on ${policy.interfaces.join(', ') || 'no interface'} only; name one of them`,
    );
  if (policy.ports && !policy.ports.some((p) => listen.ports && p.first <= listen.ports.first && listen.ports.last <= p.last))
    bad.add(
      'spec.listen.ports',
      `the policy of this gateway allows the ports ${policy.ports.map(formatPortRange).join(', ') || 'none'} only`,
    );
  spec.targets.forEach(({ host }, i) => {
    const field = `spec.targets[${i}].host`;
    // Each address that a name turns out to have is checked when it is known.
    if (host.kind === 'dns') return;
    const forbidden = policy.forbidden.find((n) => contains(n, host.address));
    if (forbidden) bad.add(field, `the policy of this gateway forbids targets in ${formatCidr(forbidden)}`);
    if (policy.targets && !policy.targets.some((n) => contains(n, host.address)))
      bad.add(
        field,
        `the policy of this gateway allows targets in ${policy.targets.map(formatCidr).join(', ') || 'no network'} only`,
      );
  });
  return [...bad.items];
}

/** `443` or `1024-65535`: unlike a listener's range, of any width. */
function parsePorts(text: string): Result<PortRange, string> {
  const [first, last = first, ...more] = text.split('-').map(parsePort);
  if (!first || !last || more.length > 0) return err(`${quote(text)} is neither a port nor a range like 1024-65535`);
  if (!first.ok) return first;
  if (!last.ok) return last;
  return last.value < first.value ? err(`${quote(text)} is reversed`) : ok({ first: first.value, last: last.value });
}

function section(value: unknown, path: string, keys: readonly string[], bad: ViolationList): Record<string, unknown> {
  if (value === undefined) return {};
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    bad.add(path || 'the document', `is no mapping; it may hold ${keys.join(', ')}`);
    return {};
  }
  const fields: Record<string, unknown> = { ...value };
  for (const key of Object.keys(fields))
    if (!keys.includes(key)) bad.add(path ? `${path}.${key}` : key, `is unknown; known are ${keys.join(', ')}`);
  return fields;
}

function list<T>(value: unknown, path: string, parse: (text: string) => Result<T, string>, bad: ViolationList): T[] | undefined {
  if (value === undefined) return undefined;
  if (!Array.isArray(value)) {
    bad.add(path, 'is no list');
    return undefined;
  }
  return value.flatMap((item: unknown, i) => {
    const text = typeof item === 'number' ? String(item) : item;
    const parsed = typeof text === 'string' ? bad.take(`${path}[${i}]`, parse(text)) : undefined;
    if (typeof text !== 'string') bad.add(`${path}[${i}]`, `${show(item)} is no text`);
    return parsed === undefined ? [] : [parsed];
  });
}

const show = (value: unknown): string => (value === undefined ? 'missing' : quote(JSON.stringify(value) ?? String(value)));
