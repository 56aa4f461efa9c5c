/** What creates and removes the tables `ip gwctl` and `ip6 gwctl`. */
import type { Family } from '@gwctl/shared/domain/ip';
import { type ChainSpec, CLOSED_CHAIN, chains, FTP_HELPER, type Hook } from './chains.js';
import { SETS, type SetSpec, WORDS } from './sets.js';

export const TABLE = 'gwctl';
/** Scratch table of detection, without hooks. */
export const SCRATCH = 'gwctl-detect';
/** Of the layout. A table of another version is replaced in one transaction, with its elements. */
export const VERSION = 3;
export const VERSION_COMMENT = `gwctl/${VERSION}`;

/** What this kernel lets us use beyond the least. */
export interface LayoutOptions {
  /** Whether there is the helper of FTP (nf_conntrack_ftp and nf_nat_ftp). */
  readonly ftp: boolean;
}

/** `ip gwctl`: how nft's commands name a table. */
export const tableName = (family: Family, table: string = TABLE): string => `${WORDS[family].ip} ${table}`;

export const chainsOf = (family: Family, { ftp }: LayoutOptions): readonly ChainSpec[] =>
  chains(family, { ftp, version: `${VERSION_COMMENT}${ftp ? '' : ' without ftp'}` });

/** What creates the static part in `table`, which must not be there. `trial`: without hooks, so that it meets no packet. */
export function layoutLines(
  family: Family,
  options: LayoutOptions & { readonly table: string; readonly trial?: boolean; readonly closed: boolean },
): string[] {
  const name = tableName(family, options.table);
  const specs = chainsOf(family, options);
  const hook = ({ type, hook: place, priority }: Hook) => ` { type ${type} hook ${place} priority ${priority}; policy accept; }`;
  return [
    `add table ${name}`,
    ...(options.ftp ? [`add ct helper ${name} ${FTP_HELPER} { type "ftp" protocol tcp; }`] : []),
    ...SETS[family].map((s) => setLine(name, s)),
    ...specs.map((c) => `add chain ${name} ${c.name}${c.hook && !options.trial ? hook(c.hook) : ''}`),
    ...specs.flatMap((c) =>
      c.name === CLOSED_CHAIN && !options.closed ? [] : c.rules.map((r) => `add rule ${name} ${c.name} ${r}`),
    ),
  ];
}

function setLine(table: string, { name, types, data, interval, counter }: SetSpec): string {
  const [kind, value] = data === undefined ? ['set', ''] : ['map', ` : ${data}`];
  return `add ${kind} ${table} ${name} { type ${types.join(' . ')}${value};${interval ? ' flags interval;' : ''}${counter ? ' counter;' : ''} }`;
}

/** What removes a table, whether or not it is there (`destroy` needs nft 1.0.8 and Linux 6.3). */
export const removalLines = (family: Family, table: string = TABLE): string[] => {
  const name = tableName(family, table);
  return [`add table ${name}`, `delete table ${name}`];
};
