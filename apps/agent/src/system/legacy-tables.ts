import { readFile } from 'node:fs/promises';
import type { Family } from '@gwctl/shared/domain/ip';

/**
 * Names of the tables of iptables-legacy in this network namespace, one a line; empty, or no file at all, where it was never used.
 * Whoever may not read the file does not know: then the answer is `hidden`.
 */
export async function legacyTables(family: Family, hidden: string): Promise<string> {
  try {
    return await readFile(`/proc/net/ip${family === 6 ? '6' : ''}_tables_names`, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return '';
    if (code === 'EACCES') return hidden;
    throw error;
  }
}
