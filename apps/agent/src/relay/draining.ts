/** Relays that gave up their listeners, found by the names of their sockets. */
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type LinkOptions, RelayLink } from './link.js';
import { drainingPid } from './relay-paths.js';

/** Process ids, as far as the names of sockets tell: one that was killed leaves its. */
export async function drainingPids(directory: string): Promise<readonly number[]> {
  return (await entriesOf(directory)).flatMap((file) => drainingPid(file) ?? []);
}

/** Links to all of them; whoever asks closes them. Removes names behind which nobody is any more. */
export async function openDraining(directory: string, options: Omit<LinkOptions, 'socket'>): Promise<readonly RelayLink[]> {
  const links: RelayLink[] = [];
  try {
    for (const file of await entriesOf(directory)) {
      if (drainingPid(file) === undefined) continue;
      const socket = join(directory, file);
      const link = await RelayLink.open({ ...options, socket });
      if (link) links.push(link);
      else await rm(socket, { force: true });
    }
    return links;
  } catch (error) {
    for (const link of links) link.close();
    throw error;
  }
}

async function entriesOf(directory: string): Promise<readonly string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
