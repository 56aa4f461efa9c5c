import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { AppError } from '@gwctl/shared/errors/app-error';
import type { Exec } from './exec.js';

/** Parts of the kernel that may be loaded when they are needed. */
export interface KernelModules {
  /** Whether it is there, loaded or built in. Costs next to nothing. */
  present(name: string): Promise<boolean>;
  /** Loads it where it is not there; says why it could not be, undefined where it is there now. */
  load(name: string): Promise<string | undefined>;
}

/** By /sys/module, and the program `modprobe`. */
export class HostKernelModules implements KernelModules {
  readonly #exec: Exec;
  readonly #builtIn: () => Promise<ReadonlySet<string>>;
  #found: ReadonlySet<string> | undefined;

  /** `builtIn`: names of the parts that the kernel was built with. Default: asks it. */
  constructor(options: { readonly exec: Exec; readonly builtIn?: () => Promise<ReadonlySet<string>> }) {
    this.#exec = options.exec;
    this.#builtIn = options.builtIn ?? builtInModules;
  }

  async present(name: string): Promise<boolean> {
    if (existsSync(`/sys/module/${name}`)) return true;
    this.#found ??= await this.#builtIn();
    return this.#found.has(name);
  }

  async load(name: string): Promise<string | undefined> {
    if (await this.present(name)) return undefined;
    let said: string;
    try {
      const { exitCode, stderr } = await this.#exec.run({ program: 'modprobe', args: [name] });
      said = exitCode === 0 ? 'modprobe says that it loaded it, but it is not there' : stderr.trim().slice(0, 200);
    } catch (error) {
      said = AppError.from(error).message;
    }
    return (await this.present(name)) ? undefined : said;
  }
}

const FTP_HELPERS = ['nf_conntrack_ftp', 'nf_nat_ftp'];

/**
 * A part that was built in shows in /sys/module only where it has settings. The list of the installed kernel names them all; where it
 * is not installed, as in a container or on a kernel of one's own, its table of symbols shows what is not of a module.
 */
async function builtInModules(): Promise<ReadonlySet<string>> {
  const release = (await readFile('/proc/sys/kernel/osrelease', 'utf8')).trim();
  const list = await readIfThere(`/lib/modules/${release}/modules.builtin`);
  if (list !== '') return new Set([...list.matchAll(/([^/\n]+)\.ko$/gm)].map((m) => (m[1] ?? '').replaceAll('-', '_')));
  // Megabytes: names that were cut out of it would keep all of it in memory.
  const symbols = await readIfThere('/proc/kallsyms');
  return new Set(FTP_HELPERS.filter((name) => new RegExp(` [tT] ${name}(?:_init)?$`, 'm').test(symbols)));
}

async function readIfThere(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'EACCES') return '';
    throw error;
  }
}
