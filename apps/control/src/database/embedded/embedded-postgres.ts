import { type ChildProcess, spawn } from 'node:child_process';
import { chmod, chown, mkdir, mkdtemp, readFile, rename, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { AppError } from '@gwctl/shared/errors/app-error';
import type { Logger } from '@gwctl/shared/logging/logger';
import pg from 'pg';
import { type Binaries, findBinaries } from './binaries.js';
import { endLeftover, endProcess } from './leftover.js';
import { commandAs, decideRunAs, type RunAs } from './run-as.js';

/** How to reach the embedded database: over a socket in a directory that only its owner may enter. */
export interface EmbeddedConnection {
  /** Directory of the unix socket. */
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly database: string;
}

/** sun_path holds 108 bytes with its final zero (unix(7)); PostgreSQL appends `/.s.PGSQL.5432`. */
const SOCKET_DIR_LIMIT = 107 - '/.s.PGSQL.5432'.length;
const PORT = 5432;
/** Crash recovery after a kill may take its time. */
const START_TIMEOUT_MS = 60_000;
const RESTART_DELAY_MS = 200;

const SETTINGS = {
  // No TCP: the socket's directory is the only way in.
  listen_addresses: '',
  unix_socket_permissions: '0700',
  max_connections: '60',
  shared_buffers: '64MB',
  // Commits stay durable (fsync and synchronous_commit are on by default); nobody replicates from here.
  wal_level: 'minimal',
  max_wal_senders: '0',
  // The queries are short; compiling them costs more than it brings.
  jit: 'off',
  timezone: 'UTC',
  log_timezone: 'UTC',
};

/** A PostgreSQL of our own below the data directory, kept running until {@link stop}. */
export class EmbeddedPostgres {
  private readonly logger: Logger;
  private readonly dataDir: string;
  private child: ChildProcess | undefined;
  private stopping = false;
  private place: { readonly binaries: Binaries; readonly runAs: RunAs; readonly socketDir: string } | undefined;

  /** @param options.root Existing directory; the cluster goes into `postgres` below it. */
  constructor(private readonly options: { readonly root: string; readonly logger: Logger }) {
    this.logger = options.logger.child({ component: 'postgres' });
    this.dataDir = join(options.root, 'postgres');
  }

  /** Makes the cluster where there is none, ends what an earlier run left behind, starts, and waits until it answers. */
  async start(): Promise<EmbeddedConnection> {
    const binaries = await findBinaries(process.arch);
    const runAs = decideRunAs({
      uid: process.getuid?.() ?? -1,
      uidMap: await readFile('/proc/self/uid_map', 'utf8'),
      passwd: await readFile('/etc/passwd', 'utf8'),
      clusterOwner: await ownerOf(this.dataDir),
      closed: (await closedAbove(binaries.postgres)) ?? (await closedAbove(this.options.root)),
    });
    if (runAs.kind === 'namespace' && runAs.because !== undefined)
      this.logger.warn(
        { because: runAs.because },
        "the embedded PostgreSQL runs with root's own file rights, in a user namespace",
      );
    if (runAs.kind === 'user') await chmod(this.options.root, 0o711);
    await endLeftover(this.dataDir, this.logger);
    const socketDir = await this.makeSocketDir(runAs);
    this.place = { binaries, runAs, socketDir };
    await this.initialise(binaries, runAs);
    await this.launch();
    return this.connection(socketDir);
  }

  /** Fast shutdown: open transactions are rolled back, everything committed is on disk. */
  async stop(): Promise<void> {
    this.stopping = true;
    const child = this.child;
    if (child?.pid !== undefined && child.exitCode === null && child.signalCode === null)
      await endProcess(child.pid, async () => child.exitCode === null && child.signalCode === null);
    if (this.place) await rm(this.place.socketDir, { recursive: true, force: true });
  }

  private connection(socketDir: string): EmbeddedConnection {
    return { host: socketDir, port: PORT, user: 'gwctl', database: 'postgres' };
  }

  private async makeSocketDir(runAs: RunAs): Promise<string> {
    let dir = join(this.options.root, 'run');
    if (Buffer.byteLength(dir) <= SOCKET_DIR_LIMIT) await mkdir(dir, { recursive: true, mode: 0o700 });
    else dir = await mkdtemp(join(tmpdir(), 'gwctl-'));
    await this.giveTo(runAs, dir);
    return dir;
  }

  private async giveTo(runAs: RunAs, dir: string): Promise<void> {
    await chmod(dir, 0o700);
    if (runAs.kind === 'user') await chown(dir, runAs.uid, runAs.gid);
  }

  /** Makes the cluster beside its place and moves it there when it is whole: a first start that was killed leaves nothing half-made. */
  private async initialise(binaries: Binaries, runAs: RunAs): Promise<void> {
    if (await exists(join(this.dataDir, 'PG_VERSION'))) return;
    const fresh = `${this.dataDir}.new`;
    await rm(fresh, { recursive: true, force: true });
    await mkdir(fresh, { mode: 0o700 });
    await this.giveTo(runAs, fresh);
    const options = ['--username=gwctl', '--auth=trust', '--encoding=UTF8', '--locale=C', '--no-sync', '--no-instructions'];
    await this.run(runAs, [binaries.initdb, '-D', fresh, ...options]);
    // One sync at the end costs less than one for each file, and nothing counts before the rename.
    await this.run(runAs, [binaries.initdb, '-D', fresh, '--sync-only']);
    await rename(fresh, this.dataDir);
  }

  private async launch(): Promise<void> {
    const place = this.place;
    if (!place) throw new Error('not started');
    const settings = Object.entries({ ...SETTINGS, unix_socket_directories: place.socketDir });
    const argv = [place.binaries.postgres, '-D', this.dataDir, ...settings.flatMap(([key, value]) => ['-c', `${key}=${value}`])];
    const child = this.spawn(place.runAs, argv);
    this.child = child;
    let exited: string | undefined;
    let lastLines = '';
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      lastLines = (lastLines + text).slice(-2000);
      this.logger.debug({ output: text.trimEnd() }, 'database log');
    });
    child.once('error', (error) => {
      exited = error.message;
    });
    child.once('exit', (code, signal) => {
      exited = signal ?? `exit code ${code}`;
    });
    const deadline = performance.now() + START_TIMEOUT_MS;
    for (;;) {
      if (exited !== undefined) throw this.failed(`PostgreSQL did not start (${exited})`, lastLines);
      if (await this.answers(place.socketDir)) break;
      if (performance.now() > deadline)
        throw this.failed(`PostgreSQL did not answer within ${START_TIMEOUT_MS / 1000} s`, lastLines);
      await sleep(15);
    }
    const restart = () => {
      if (this.stopping) return;
      this.logger.error({ exited }, 'the database ended; starting it again');
      void this.relaunch();
    };
    if (exited === undefined) child.once('exit', restart);
    else restart();
  }

  private async relaunch(): Promise<void> {
    while (!this.stopping) {
      try {
        // Backends that outlive a killed postmaster hold the shared memory for a moment; the next try finds it free.
        await sleep(RESTART_DELAY_MS);
        await endLeftover(this.dataDir, this.logger);
        return await this.launch();
      } catch (error) {
        this.logger.error({ err: error }, 'the database could not be started; trying again');
      }
    }
  }

  private async answers(socketDir: string): Promise<boolean> {
    const client = new pg.Client({ ...this.connection(socketDir), connectionTimeoutMillis: 5_000 });
    // It may be ended while it is being closed; unheard, that would end the process.
    client.on('error', (error) => this.logger.trace({ err: error }, 'the probing connection broke'));
    try {
      await client.connect();
      return true;
    } catch (error) {
      this.logger.trace({ err: error }, 'the database does not answer yet');
      return false;
    } finally {
      await client.end();
    }
  }

  private spawn(runAs: RunAs, argv: readonly string[]): ChildProcess {
    const [program = '', ...args] = commandAs(runAs, argv);
    return spawn(program, args, {
      cwd: '/',
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C', TZ: 'UTC' },
      stdio: ['ignore', 'ignore', 'pipe'],
      // Its own process group: a Ctrl-C in the terminal reaches us, and we end the database after the last write.
      detached: true,
      ...(runAs.kind === 'user' ? { uid: runAs.uid, gid: runAs.gid } : {}),
    });
  }

  private run(runAs: RunAs, argv: readonly string[]): Promise<void> {
    return new Promise((resolve, reject) => {
      const child = this.spawn(runAs, argv);
      let output = '';
      const timer = setTimeout(() => child.kill('SIGKILL'), START_TIMEOUT_MS);
      child.stderr?.setEncoding('utf8').on('data', (text: string) => {
        output = (output + text).slice(-2000);
      });
      child.once('error', reject);
      child.once('close', (code, signal) => {
        clearTimeout(timer);
        if (code === 0) resolve();
        else reject(this.failed(`${argv[0]} ended with ${signal ?? `exit code ${code}`}`, output));
      });
    });
  }

  private failed(what: string, output: string): AppError {
    const user = this.place?.runAs.kind === 'user' ? this.place.runAs.name : undefined;
    const hint =
      user && /permission denied/i.test(output)
        ? `; user ${user} must be able to enter every directory above ${this.dataDir} (chmod o+x), or choose another --data-dir`
        : '';
    return new AppError({
      code: 'UNAVAILABLE',
      reason: 'DATABASE_START_FAILED',
      message: `the embedded database: ${what}: ${output.trim() || 'it said nothing'}${hint}`,
    });
  }
}

/** The uid that a file belongs to; undefined where there is none. */
async function ownerOf(path: string): Promise<number | undefined> {
  return (await exists(path)) ? (await stat(path)).uid : undefined;
}

/** The outermost directory above `path` that others than its owner and group may not pass through. */
async function closedAbove(path: string): Promise<string | undefined> {
  const parent = dirname(path);
  if (parent === path) return undefined;
  return (await closedAbove(parent)) ?? (((await stat(parent)).mode & 0o001) === 0 ? parent : undefined);
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}
