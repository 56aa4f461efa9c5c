/** The chains of forwards with several targets: which of them a new flow goes to. */

import { ring } from '../../planner/ring.js';
import type { PlacedForward, PlacedTarget } from '../../planner/types.js';
import { POOL_PREFIX } from './chains.js';
import { WORDS } from './sets.js';

/** Into so many equal shares clients are divided: enough for 64 targets, and a change moves only the shares that it must. */
const SLOTS = 256;
/** The same on every gateway, so that a client finds the same target whichever it comes through. */
const SEED = '0x67776374';
const TRANSPORTS = 'meta l4proto { tcp, udp }';

/** A chain of its own that a forward needs, with its rules. */
export interface PoolChain {
  readonly name: string;
  readonly rules: readonly string[];
}

export const poolChain = (key: string): string => `${POOL_PREFIX}${key}`;

/** Those that stand at the end are jumped to by those before. */
export function poolChains(forward: PlacedForward): readonly PoolChain[] {
  const { targets, listen, key } = forward;
  const { ports } = listen;
  if (targets.length < 2 || !ports) return [];
  const shares = sharesOf(forward);
  const chosen = `${chooser(forward)} `;
  const map = (value: (target: PlacedTarget, index: number) => string) => {
    const values = targets.map(value);
    return `{ ${shares.map(({ first, last, target }) => `${first === last ? first : `${first}-${last}`} : ${values[target]}`).join(', ')} }`;
  };
  const name = poolChain(key);
  if (ports.first === ports.last)
    return [{ name, rules: [`${TRANSPORTS} dnat to ${chosen}map ${map((t) => `${t.address.text} . ${t.port ?? 0}`)}`] }];
  if (targets.every((t) => t.port === ports.first))
    return [{ name, rules: [`${TRANSPORTS} dnat to ${chosen}map ${map((t) => t.address.text)}`] }];
  // A range that moves: first the target, then its port.
  const inner = (index: number) => `${name}/${index}`;
  return [
    { name, rules: [`${chosen}vmap ${map((_, i) => `goto ${inner(i)}`)}`] },
    ...targets.map((t, i) => ({ name: inner(i), rules: [movedRule(forward, t, ports)] })),
  ];
}

function movedRule(forward: PlacedForward, { address, port = 0 }: PlacedTarget, ports: { first: number; last: number }): string {
  if (port === ports.first) return `${TRANSPORTS} dnat to ${address.text}`;
  const moved = Array.from({ length: ports.last - ports.first + 1 }, (_, n) => `${ports.first + n} : ${port + n}`);
  const to = forward.family === 6 ? `[${address.text}]` : address.text;
  return `${TRANSPORTS} dnat to ${to} : th dport map { ${moved.join(', ')} }`;
}

function chooser({ family, affinity, targets }: PlacedForward): string {
  if (affinity === 'client') return `jhash ${WORDS[family].ip} saddr mod ${SLOTS} seed ${SEED}`;
  return `numgen random mod ${targets.reduce((sum, t) => sum + t.weight, 0)}`;
}

interface Share {
  readonly first: number;
  readonly last: number;
  readonly target: number;
}

/** Which target each number belongs to. */
function sharesOf({ affinity, targets }: PlacedForward): readonly Share[] {
  const shares: Share[] = [];
  if (affinity !== 'client') {
    let first = 0;
    targets.forEach(({ weight }, target) => {
      shares.push({ first, last: first + weight - 1, target });
      first += weight;
    });
    return shares;
  }
  ring(targets, SLOTS).forEach((target, slot) => {
    const before = shares.at(-1);
    if (before?.target === target) shares[shares.length - 1] = { ...before, last: slot };
    else shares.push({ first: slot, last: slot, target });
  });
  return shares;
}
