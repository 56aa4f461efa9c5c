import type { Family } from '@gwctl/shared/domain/ip';
import { AppError } from '@gwctl/shared/errors/app-error';

/** What `iptables-save` prints: tables, their chains in order, and each chain's rules without the leading `-A CHAIN `. */
export type Saved = ReadonlyMap<string, SavedTable>;
export type SavedTable = ReadonlyMap<string, SavedChain>;

export interface SavedChain {
  /** ACCEPT or DROP for a built-in chain, undefined for a user's. */
  readonly policy?: string;
  readonly rules: readonly string[];
}

/**
 * Reads the output of iptables-nft-save or iptables-legacy-save. Throws FOREIGN_NATIVE_RULES where the program says that it cannot
 * show one of `needed` (it then exits with 0 and prints only a comment, which read as "everything is gone" has flooded hosts with
 * duplicates: projectcalico/felix#2501), and SAVE_UNREADABLE for anything unknown.
 */
export function parseSave(text: string, needed: readonly string[], family: Family = 4): Saved {
  const tables = new Map<string, Map<string, { policy?: string; rules: string[] }>>();
  let table: Map<string, { policy?: string; rules: string[] }> | undefined;
  for (const line of text.split('\n')) {
    if (line === '' || line === 'COMMIT') continue;
    const start = line[0];
    if (start === '#') {
      const incompatible = /Table `([^']+)' is incompatible/.exec(line)?.[1];
      if (incompatible !== undefined && needed.includes(incompatible)) throw foreignNativeRules(incompatible, family);
      continue;
    }
    if (start === '*') {
      table = new Map();
      tables.set(line.slice(1).trim(), table);
      continue;
    }
    if (!table) throw unreadable(line);
    if (start === ':') {
      const [, name, policy] = /^:(\S+) (\S+)/.exec(line) ?? [];
      if (name === undefined || policy === undefined) throw unreadable(line);
      table.set(name, { ...(policy === '-' ? {} : { policy }), rules: [] });
      continue;
    }
    const [, name, rule] = /^-A (\S+) ?(.*)$/.exec(line) ?? [];
    const chain = name === undefined ? undefined : table.get(name);
    if (!chain || rule === undefined) throw unreadable(line);
    chain.rules.push(rule);
  }
  return tables;
}

/** Marks the tables in what {@link parseList} reads. */
export const tableMark = (table: string): string => `# gwctl table ${table}`;

/** Reads what `-S` prints for each table, after the line {@link tableMark}. */
export function parseList(text: string): Saved {
  const tables = new Map<string, Map<string, { policy?: string; rules: string[] }>>();
  let table: Map<string, { policy?: string; rules: string[] }> | undefined;
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const marked = /^# gwctl table (\S+)$/.exec(line)?.[1];
    if (marked !== undefined) {
      table = new Map();
      tables.set(marked, table);
      continue;
    }
    if (line.startsWith('#')) continue;
    const [, command, name, rest = ''] = /^-([PNA]) (\S+) ?(.*)$/.exec(line) ?? [];
    if (!table || name === undefined) throw unreadable(line);
    if (command === 'P') table.set(name, { policy: rest, rules: [] });
    else if (command === 'N') table.set(name, { rules: [] });
    else {
      const chain = table.get(name);
      if (!chain) throw unreadable(line);
      chain.rules.push(rest);
    }
  }
  return tables;
}

export function foreignNativeRules(table: string, family: Family): AppError {
  const name = `${family === 6 ? 'ip6' : 'ip'} ${table}`;
  return new AppError({
    code: 'FAILED_PRECONDITION',
    reason: 'FOREIGN_NATIVE_RULES',
    message: `the table "${name}" holds rules that were written with nft and that iptables cannot show, so gwctl cannot tell what is there; find them with "nft list table ${name}" and move them into a table of their own`,
    metadata: { table },
  });
}

const unreadable = (line: string) =>
  new AppError({
    code: 'INTERNAL',
    reason: 'SAVE_UNREADABLE',
    message: `iptables printed a line that gwctl does not understand: ${JSON.stringify(line.slice(0, 120))}`,
  });
