import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { createLogger } from '@gwctl/shared/logging/logger';
import { build } from 'esbuild';
import { type Clock, systemClock } from '../clock.js';
import { startDetached } from '../system/detached-process.js';
import { RelayLink } from './link.js';
import { type RelayPaths, relayPaths } from './relay-paths.js';
import { RelaySupervisor } from './supervisor.js';

const log = createLogger({ name: 'spec', level: 'silent' });

/** Relays as real processes in a directory of their own. */
export class RelaySite {
  /** What a relay that is started from now on says of its program. */
  build = 'one';
  /** Another directory than the right one, in which a relay cannot work. */
  told: string | undefined;
  readonly paths: RelayPaths;

  private constructor(readonly dir: string) {
    this.paths = relayPaths({ path: dir, run: dir });
  }

  static async make(): Promise<RelaySite> {
    const dir = await mkdtemp(join(tmpdir(), 'gwctl-relay-'));
    await build({
      entryPoints: [join(import.meta.dirname, 'testing-main.ts')],
      outfile: join(dir, 'main.mjs'),
      bundle: true,
      platform: 'node',
      format: 'esm',
      banner: { js: "import { createRequire as requireOf } from 'node:module'; const require = requireOf(import.meta.url);" },
    });
    return new RelaySite(dir);
  }

  supervisor(clock: Clock = systemClock): RelaySupervisor {
    const main = join(this.dir, 'main.mjs');
    const site = this;
    return new RelaySupervisor({
      paths: this.paths,
      program: {
        program: process.execPath,
        get args() {
          return [main, site.told ?? site.dir, site.build];
        },
        build: async () => this.build,
      },
      start: startDetached,
      clock,
      log,
    });
  }

  async link(): Promise<RelayLink> {
    const link = await RelayLink.open({ socket: this.paths.socket, clock: systemClock, log });
    if (!link) throw new Error(`no relay listens; its log: ${await readFile(this.paths.log, 'utf8')}`);
    return link;
  }

  /** Ends every relay; fails where one does not. */
  async clear(): Promise<void> {
    await this.supervisor().stop();
    await rm(this.dir, { recursive: true, force: true });
  }
}

export const alive = (pid: number): boolean => existsSync(`/proc/${pid}/exe`);

/** Awaits what announces itself in no other way. */
export async function until(condition: () => boolean | Promise<boolean>, what: string, ms = 10_000): Promise<void> {
  const end = performance.now() + ms;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`after ${ms} ms still not: ${what}`);
    await pause(5);
  }
}
