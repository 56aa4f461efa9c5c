import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** The root of the checkout, from sources and from compiled tests alike. */
export const checkout = findRoot(import.meta.dirname);

/** A program of the checkout: `bin/gwctl` and so on. */
export const program = (name: 'gwctl' | 'gwctl-control' | 'gwctl-agent') => join(checkout, 'bin', name);

function findRoot(from: string): string {
  if (existsSync(join(from, 'pnpm-workspace.yaml'))) return from;
  if (from === dirname(from)) throw new Error('not inside a checkout of gwctl');
  return findRoot(dirname(from));
}
