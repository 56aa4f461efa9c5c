import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { parseName } from '@gwctl/shared/domain/names';
import { type Result, type Violation, ViolationList } from '@gwctl/shared/domain/result';
import { CliError } from '../errors/cli-error.js';
import { parseServer } from '../flags/server.js';
import { parseToken } from './token.js';

/** How to reach one control plane, and as whom. */
export interface StoredContext {
  readonly name: string;
  /** HOST:PORT. */
  readonly server: string;
  /** The certificates to trust, PEM. */
  readonly ca: string;
  readonly token: string;
}

export interface ConfigFile {
  /** Name of the context in use. */
  readonly current?: string;
  readonly contexts: readonly StoredContext[];
}

/** Reads and writes the file that holds the contexts. It holds tokens, so it is for its owner alone (0600). */
export class ConfigStore {
  readonly path: string;

  constructor(options: { readonly path: string }) {
    this.path = options.path;
  }

  /** The file's contents; no contexts where there is no file. */
  async read(): Promise<ConfigFile> {
    let text: string;
    try {
      const { mode } = await stat(this.path);
      if ((mode & 0o077) !== 0)
        throw new CliError({
          kind: 'error',
          message: `${this.path} holds tokens but others may read or write it (mode ${(mode & 0o777).toString(8).padStart(4, '0')})`,
          hint: `chmod 600 ${this.path}`,
        });
      text = await readFile(this.path, 'utf8');
    } catch (error) {
      if (isCode(error, 'ENOENT')) return { contexts: [] };
      if (error instanceof CliError) throw error;
      throw new CliError({ kind: 'error', message: `cannot read ${this.path}: ${reason(error)}`, cause: error });
    }
    const { parse } = await import('../output/yaml.js');
    let document: unknown;
    try {
      document = parse(text);
    } catch (error) {
      throw this.#malformed(['it is not YAML'], error);
    }
    const config = parseConfig(document);
    if (!config.ok)
      throw this.#malformed(config.error.map((v) => (v.field === '' ? v.description : `${v.field}: ${v.description}`)));
    return config.value;
  }

  /** Replaces the file: a reader sees the old one or the new one, never a part. */
  async write(config: ConfigFile): Promise<void> {
    const { stringify } = await import('../output/yaml.js');
    const text = stringify({
      apiVersion: 'gwctl/v1',
      kind: 'Config',
      ...(config.current === undefined ? {} : { currentContext: config.current }),
      contexts: config.contexts,
    });
    try {
      await mkdir(dirname(this.path), { recursive: true, mode: 0o700 });
      await replaceFile(this.path, text);
    } catch (error) {
      throw new CliError({
        kind: 'error',
        message: `cannot write ${this.path}: ${reason(error)}`,
        hint: 'set GWCTL_CONFIG to a file that you can write',
        cause: error,
      });
    }
  }

  #malformed(details: readonly string[], cause?: unknown): CliError {
    return new CliError({
      kind: 'error',
      message: `${this.path} is not a config file of gwctl`,
      details,
      hint: 'mend it, or move it away and log in again with gwctl login',
      cause,
    });
  }
}

async function replaceFile(path: string, text: string): Promise<void> {
  const temporary = `${path}.${process.pid}.new`;
  await rm(temporary, { force: true });
  const file = await open(temporary, 'wx', 0o600);
  try {
    await file.chmod(0o600);
    await file.writeFile(text);
    await file.sync();
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  } finally {
    await file.close();
  }
}

/** Reads the parsed YAML. Unknown keys are refused; values that may be secrets are not repeated. */
export function parseConfig(document: unknown): Result<ConfigFile, readonly Violation[]> {
  const bad = new ViolationList();
  const top = record(document, ['apiVersion', 'kind', 'currentContext', 'contexts'], '', bad);
  if (top && (top.apiVersion !== 'gwctl/v1' || top.kind !== 'Config')) bad.add('apiVersion, kind', 'must be gwctl/v1 and Config');
  const current = top?.currentContext;
  if (current !== undefined && typeof current !== 'string') bad.add('currentContext', 'must be a name');
  const entries = top?.contexts ?? [];
  if (!Array.isArray(entries)) bad.add('contexts', 'must be a list');
  const contexts = (Array.isArray(entries) ? entries : []).flatMap((entry, i) => parseContext(entry, `contexts[${i}]`, bad));
  const names = contexts.map((c) => c.name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) bad.add('contexts', `holds ${twice} twice`);
  if (bad.items.length > 0) return { ok: false, error: bad.items };
  return { ok: true, value: { ...(typeof current === 'string' ? { current } : {}), contexts } };
}

function parseContext(entry: unknown, at: string, bad: ViolationList): StoredContext[] {
  const fields = record(entry, ['name', 'server', 'ca', 'token'], at, bad);
  if (!fields) return [];
  const text = (key: string): string | undefined => {
    const value = fields[key];
    if (typeof value === 'string' && value !== '') return value;
    bad.add(`${at}.${key}`, 'is missing or not a text');
    return undefined;
  };
  const [name, server, ca, token] = [text('name'), text('server'), text('ca'), text('token')];
  if (name === undefined || server === undefined || ca === undefined || token === undefined) return [];
  bad.take(`${at}.name`, parseName(name));
  bad.take(`${at}.server`, parseServer(server));
  bad.take(`${at}.token`, parseToken(token));
  return [{ name, server, ca, token }];
}

function record(value: unknown, keys: readonly string[], at: string, bad: ViolationList): Record<string, unknown> | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    bad.add(at, `is not a mapping with ${keys.join(', ')}`);
    return undefined;
  }
  for (const key of Object.keys(value))
    if (!keys.includes(key)) bad.add(at === '' ? key : `${at}.${key}`, `is not known here; known are ${keys.join(', ')}`);
  return value as Record<string, unknown>;
}

export const isCode = (error: unknown, code: string): boolean => error instanceof Error && 'code' in error && error.code === code;

/** Why the file system refused, in words; never what was in the file. */
export function reason(error: unknown): string {
  const words: Readonly<Record<string, string>> = {
    ENOENT: 'there is no such file',
    EACCES: 'you may not (permission denied)',
    EPERM: 'you may not (operation not permitted)',
    EISDIR: 'it is a directory',
    ENOTDIR: 'a part of its path is not a directory',
    EROFS: 'the file system is read-only',
    ENOSPC: 'the disk is full',
  };
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  return words[code] ?? (error instanceof Error ? error.message : String(error));
}
