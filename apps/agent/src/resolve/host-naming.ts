import { readFileSync, statSync } from 'node:fs';
import { isIP } from 'node:net';
import { type IpAddress, parseIp } from '@gwctl/shared/domain/ip';
import { parseDnsName } from '@gwctl/shared/domain/names';
import { errorCode } from '../state-dir/atomic-file.js';

/** How the host itself resolves names. */
export interface HostNaming {
  /** `ADDRESS:PORT` or `[ADDRESS]:PORT`, at least one. */
  readonly servers: readonly string[];
  /** What /etc/hosts says, by name in lower case. */
  readonly names: ReadonlyMap<string, readonly IpAddress[]>;
  /** Why a file could not be read; what it said before then still holds. */
  readonly trouble?: string;
}

/** Where {@link HostNaming} comes from: the same object for as long as nothing changed. */
export interface HostNamingSource {
  read(): HostNaming;
}

/** As many as glibc asks (MAXNS, resolv.conf(5)). */
const MOST_SERVERS = 3;
/** What glibc asks where none is named. */
const DEFAULT_SERVER = '127.0.0.1:53';
const MISSING = 'missing';

/** Reads `nameserver` lines; search lists, `ndots` and the other options are for people who type names, not for forwards. */
export function parseResolvConf(text: string): readonly string[] {
  const servers = text.split('\n').flatMap((line) => {
    const address = /^nameserver[ \t]+(\S+)/.exec(line)?.[1];
    if (address === undefined || isIP(address) === 0) return [];
    return [isIP(address) === 6 ? `[${address}]:53` : `${address}:53`];
  });
  return servers.length > 0 ? servers.slice(0, MOST_SERVERS) : [DEFAULT_SERVER];
}

/** Reads hosts(5). Lines that make no sense are skipped, as the C library does. */
export function parseHosts(text: string): ReadonlyMap<string, readonly IpAddress[]> {
  const names = new Map<string, IpAddress[]>();
  for (const line of text.split('\n')) {
    const [first = '', ...words] = line.replace(/#.*/, '').trim().split(/\s+/);
    const address = parseIp(first);
    if (!address.ok) continue;
    for (const word of words) {
      const name = parseDnsName(word);
      if (!name.ok) continue;
      const addresses = names.get(name.value);
      if (addresses) addresses.push(address.value);
      else names.set(name.value, [address.value]);
    }
  }
  return names;
}

/** The two files, read again only when they changed. */
export class HostFiles implements HostNamingSource {
  readonly #resolvConf: WatchedFile<readonly string[]>;
  readonly #hosts: WatchedFile<HostNaming['names']>;
  #last: HostNaming | undefined;

  constructor(paths: { readonly resolvConf?: string; readonly hosts?: string } = {}) {
    this.#resolvConf = new WatchedFile(paths.resolvConf ?? '/etc/resolv.conf', parseResolvConf);
    this.#hosts = new WatchedFile(paths.hosts ?? '/etc/hosts', parseHosts);
  }

  read(): HostNaming {
    const servers = this.#resolvConf.read();
    const names = this.#hosts.read();
    const trouble = [this.#resolvConf.trouble, this.#hosts.trouble].filter((t) => t !== undefined).join('; ') || undefined;
    const last = this.#last;
    if (last?.names === names && last.trouble === trouble && last.servers.join() === servers.join()) return last;
    this.#last = { servers, names, ...(trouble !== undefined && { trouble }) };
    return this.#last;
  }
}

/** A small file that others replace now and then. A missing one is an empty one; one that cannot be read is what it was. */
class WatchedFile<T> {
  readonly #path: string;
  readonly #parse: (text: string) => T;
  /** What stat(2) said when it was last read. */
  #stamp: string | undefined = MISSING;
  #value: T;
  trouble: string | undefined;

  constructor(path: string, parse: (text: string) => T) {
    this.#path = path;
    this.#parse = parse;
    this.#value = parse('');
  }

  read(): T {
    try {
      // stat follows the symbolic link that systemd-resolved and others make; the inode tells of a file that was renamed into place.
      const { mtimeMs, size, ino } = statSync(this.#path);
      const stamp = `${mtimeMs} ${size} ${ino}`;
      if (stamp !== this.#stamp) {
        this.#value = this.#parse(readFileSync(this.#path, 'utf8'));
        this.#stamp = stamp;
      }
      this.trouble = undefined;
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') {
        this.#stamp = undefined;
        this.trouble = `${this.#path} cannot be read (${errorCode(error) ?? String(error)})`;
        return this.#value;
      }
      if (this.#stamp !== MISSING) this.#value = this.#parse('');
      this.#stamp = MISSING;
      this.trouble = undefined;
    }
    return this.#value;
  }
}
