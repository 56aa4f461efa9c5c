import { readFileSync, writeFileSync } from 'node:fs';
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { err, ok, quote, type Result } from '@gwctl/shared/domain/result';
import { AppError } from '@gwctl/shared/errors/app-error';

/** Kernel parameters by their dotted name. A slash in it stands for a dot, as for sysctl(8): `net.ipv4.conf.eth0/100.forwarding`. */
export interface Sysctl {
  read(key: string): Promise<string>;
  write(key: string, value: string): Promise<void>;
}

/** Through /proc/sys, which shows the network namespace of this process. */
export class ProcSysctl implements Sysctl {
  async read(key: string): Promise<string> {
    try {
      // The kernel answers at once: to go over a thread costs ten times as much.
      return readFileSync(path(key), 'utf8').trim();
    } catch (cause) {
      throw failed('read', key, cause);
    }
  }

  async write(key: string, value: string): Promise<void> {
    try {
      writeFileSync(path(key), value);
    } catch (cause) {
      throw failed('set', key, cause);
    }
  }
}

function path(key: string): string {
  const parts = key.split('.').map((part) => part.replaceAll('/', '.'));
  if (parts.some((p) => /^\.*$/.test(p))) throw new Error(`${quote(key)} is no name of a kernel parameter`);
  return join('/proc/sys', ...parts);
}

/** Whether an error of {@link Sysctl} says that there is no such parameter, for instance because its interface is gone. */
export const isMissing = (error: unknown): boolean =>
  error instanceof AppError && (error.cause as NodeJS.ErrnoException | undefined)?.code === 'ENOENT';

const failed = (what: string, key: string, cause: unknown) =>
  new AppError({
    code: 'FAILED_PRECONDITION',
    reason: 'SYSCTL_FAILED',
    message: `the kernel parameter ${key} could not be ${what}: ${cause instanceof Error ? cause.message : String(cause)}`,
    metadata: { key },
    cause,
  });

/** What the file holds: per key, what stood there before us, and in which boot. */
type Kept = Record<string, { readonly before: string; readonly boot: string }>;

/** Remembers, on disk, what kernel parameters were before we changed them. */
export interface SysctlRecord {
  /** The value before us; undefined where we changed nothing. `unchanged`: whether the parameter still has the value we gave it. */
  before(key: string, unchanged: boolean): Promise<string | undefined>;
  keep(key: string, value: string): Promise<void>;
  forget(key: string): Promise<void>;
  /** Those that we changed since the host started: what a start has put back is no longer as we left it. */
  keys(): Promise<readonly string[]>;
  /** Why what was remembered could not be read; undefined where all is well. */
  trouble(): string | undefined;
}

export class FileSysctlRecord implements SysctlRecord {
  readonly #file: string;
  readonly #bootId: () => Promise<string>;
  #kept: Kept | undefined;
  #boot: string | undefined;
  #trouble: string | undefined;

  /** `file`: for instance `sysctl.json` in the state directory. `bootId` (default: the kernel's) changes with each start of the host. */
  constructor(options: { readonly file: string; readonly bootId?: () => Promise<string> }) {
    this.#file = options.file;
    this.#bootId = options.bootId ?? (async () => (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim());
  }

  async before(key: string, unchanged: boolean): Promise<string | undefined> {
    const entry = (await this.#load())[key];
    if (!entry) return undefined;
    // Found as we want it right after a boot: the host itself now sets it so, and it is no longer ours to take back.
    if (unchanged && entry.boot !== (await this.#bootId())) {
      await this.forget(key);
      return undefined;
    }
    return entry.before;
  }

  async keep(key: string, value: string): Promise<void> {
    const kept = await this.#load();
    // What was noted first is what the host had; a later value may be our own or somebody's meddling.
    await this.#store({ ...kept, [key]: { before: kept[key]?.before ?? value, boot: await this.#bootId() } });
  }

  async forget(key: string): Promise<void> {
    const { [key]: _, ...rest } = await this.#load();
    await this.#store(rest);
  }

  async keys(): Promise<readonly string[]> {
    const kept = Object.entries(await this.#load());
    if (kept.length === 0) return [];
    this.#boot ??= await this.#bootId();
    return kept.flatMap(([key, { boot }]) => (boot === this.#boot ? [key] : []));
  }

  async #load(): Promise<Kept> {
    if (this.#kept) return this.#kept;
    let text: string;
    try {
      text = await readFile(this.#file, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      this.#kept = {};
      return this.#kept;
    }
    const parsed = parseKept(text);
    // Without the record, forwarding counts as the host's own and is left on: nothing that works is taken away.
    this.#trouble = parsed.ok ? undefined : `${this.#file} ${parsed.error}`;
    this.#kept = parsed.ok ? parsed.value : {};
    return this.#kept;
  }

  trouble(): string | undefined {
    return this.#trouble;
  }

  async #store(kept: Kept): Promise<void> {
    this.#kept = undefined;
    if (Object.keys(kept).length === 0) await rm(this.#file, { force: true });
    else {
      await mkdir(dirname(this.#file), { recursive: true });
      const next = `${this.#file}.new`;
      const file = await open(next, 'w', 0o600);
      await file.writeFile(`${JSON.stringify(kept, undefined, 2)}\n`);
      await file.sync();
      await file.close();
      await rename(next, this.#file);
    }
    this.#kept = kept;
  }
}

export function parseKept(text: string): Result<Kept, string> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return err(`is not JSON (${error instanceof Error ? error.message : String(error)})`);
  }
  if (typeof value !== 'object' || value === null) return err('holds no object');
  const kept: Kept = {};
  for (const [key, entry] of Object.entries(value)) {
    const { before, boot } = (entry ?? {}) as { before?: unknown; boot?: unknown };
    if (
      !/^net(\.[^\s.]+)+$/.test(key) ||
      /\.\/+(\.|$)/.test(key) ||
      typeof before !== 'string' ||
      !/^\d{1,6}$/.test(before) ||
      typeof boot !== 'string'
    )
      return err(`holds an entry that gwctl did not write: ${quote(key)}`);
    kept[key] = { before, boot };
  }
  return ok(kept);
}
