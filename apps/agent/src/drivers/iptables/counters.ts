import type { Counters } from '@gwctl/shared/domain/status';
import type { TableName } from './layout.js';

/** Which tables hold counters, and what the rules of a role count there. */
export const COUNTED_TABLES = ['mangle', 'filter', 'nat'] as const satisfies readonly TableName[];

const ROLES: Readonly<Record<string, 'traffic' | 'flows' | 'refused'>> = {
  /** filter: each packet that passes, in both directions. */
  count: 'traffic',
  /** nat: the first packet of each flow of a forward, and of an egress. */
  mark: 'flows',
  out: 'flows',
  /** mangle: what an allow-list refuses. */
  deny: 'refused',
};

/** Adds up what `iptables-save -c` prints of our tables, by the keys of forwards and egresses. */
export function addCounters(text: string, counters: Map<string, Counters>): void {
  for (const [, packets, bytes, key = '', role = ''] of text.matchAll(
    /^\[(\d+):(\d+)\] -A GWCTL-.*--comment "gwctl:([0-9a-f]{8}):([a-z]+)[:"]/gm,
  )) {
    const what = ROLES[role];
    if (what === undefined) continue;
    const so = counters.get(key) ?? { packets: 0, bytes: 0, flows: 0, refused: 0 };
    const [p, b] = [Number(packets), Number(bytes)];
    if (what === 'traffic') counters.set(key, { ...so, packets: so.packets + p, bytes: so.bytes + b });
    else counters.set(key, { ...so, [what]: so[what] + p });
  }
}
