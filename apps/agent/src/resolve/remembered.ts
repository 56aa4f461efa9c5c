import { mkdir, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type IpAddress, parseIp } from '@gwctl/shared/domain/ip';
import { parseDnsName } from '@gwctl/shared/domain/names';
import type { Resolution } from '../planner/types.js';
import { errorCode, PRIVATE_DIR, replaceFile } from '../state-dir/atomic-file.js';

/** The last good answer for a name, of an earlier life of the agent. */
export interface Remembered {
  /** At least one, sorted as a {@link Resolution} has them. */
  readonly addresses: readonly IpAddress[];
  /** Milliseconds since the epoch. */
  readonly answered: number;
}

export type RememberedNames = ReadonlyMap<string, Remembered>;

const VERSION = 1;

/**
 * Keeps the last good answers over a restart: an agent that comes back while no DNS server answers must carry what it carried. Losing
 * the file costs nothing as long as servers answer.
 */
export class RememberedFile {
  readonly #path: string;
  #written: string | undefined;
  #wanted: ReadonlyMap<string, Resolution> | undefined;
  #writing: Promise<void> | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  /** A file that makes no sense counts as none, and `trouble` says why. Throws what the file system says, but for a missing file. */
  async load(): Promise<{ readonly names: RememberedNames; readonly trouble?: string }> {
    try {
      const text = await readFile(this.#path, 'utf8');
      const names = parseRemembered(text);
      this.#written = text;
      return { names };
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return { names: new Map() };
      if (!(error instanceof SyntaxError)) throw error;
      return { names: new Map(), trouble: `${this.#path} is not what was written there and is ignored: ${error.message}` };
    }
  }

  /** Writes what `view` knows, where that is something else than before. Of views that come while one is written, the last is next. */
  save(view: ReadonlyMap<string, Resolution>): Promise<void> {
    this.#wanted = view;
    this.#writing ??= this.#write().finally(() => {
      this.#writing = undefined;
    });
    return this.#writing;
  }

  async #write(): Promise<void> {
    while (this.#wanted) {
      const text = formatRemembered(this.#wanted);
      this.#wanted = undefined;
      if (text === this.#written) continue;
      await mkdir(dirname(this.#path), { recursive: true, mode: PRIVATE_DIR });
      await replaceFile(this.#path, text);
      this.#written = text;
    }
  }
}

export function formatRemembered(view: ReadonlyMap<string, Resolution>): string {
  const names = [...view].flatMap(([name, { addresses, answered }]) =>
    addresses.length > 0 && answered !== undefined
      ? [[name, { addresses: addresses.map((a) => a.text), answered }] as const]
      : [],
  );
  return `${JSON.stringify({ version: VERSION, names: Object.fromEntries(names) })}\n`;
}

/** Throws a SyntaxError that says what is wrong. */
export function parseRemembered(text: string): RememberedNames {
  const root: unknown = JSON.parse(text);
  if (!isRecord(root) || root.version !== VERSION) throw new SyntaxError(`version must be ${VERSION}`);
  if (!isRecord(root.names)) throw new SyntaxError('names must be an object');
  return new Map(Object.entries(root.names).map(([name, entry]) => [nameOf(name), entryOf(name, entry)]));
}

function nameOf(text: string): string {
  const parsed = parseDnsName(text);
  if (!parsed.ok) throw new SyntaxError(parsed.error);
  return parsed.value;
}

function entryOf(name: string, entry: unknown): Remembered {
  if (!isRecord(entry) || !Array.isArray(entry.addresses) || entry.addresses.length === 0)
    throw new SyntaxError(`${name}: addresses must be a list that is not empty`);
  const { answered } = entry;
  if (typeof answered !== 'number' || !Number.isFinite(answered))
    throw new SyntaxError(`${name}: answered must be milliseconds since the epoch`);
  const addresses = entry.addresses.map((item: unknown) => {
    const parsed = parseIp(String(item));
    if (!parsed.ok) throw new SyntaxError(`${name}: ${parsed.error}`);
    return parsed.value;
  });
  return { addresses, answered };
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
