import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { VERSION } from '@gwctl/shared/version';

/** What of the program a relay runs; more than it, so that nothing is missed, and less than all, so that most builds leave it alone. */
const FOLDERS = ['relay', 'system'];

/**
 * Names the relay's program as it is on the disk: the version, the Node.js that runs it, and a digest of its code, so that each build
 * that differs counts as another. `root`: the directory that holds `relay/`.
 */
export async function buildId(root: string): Promise<string> {
  const hash = createHash('sha256');
  for (const folder of FOLDERS) await digestFolder(join(root, folder), folder, hash);
  return `${VERSION}+${process.version}.${hash.digest('hex').slice(0, 16)}`;
}

async function digestFolder(path: string, name: string, hash: ReturnType<typeof createHash>): Promise<void> {
  const entries = await readdir(path, { withFileTypes: true });
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const [file, named] = [join(path, entry.name), `${name}/${entry.name}`];
    if (entry.isDirectory()) await digestFolder(file, named, hash);
    else if (/\.[jt]s$/.test(entry.name) && !/\.(spec|fake|d)\./.test(entry.name)) {
      hash.update(`${named}\0`);
      hash.update(await readFile(file));
      hash.update('\0');
    }
  }
}
