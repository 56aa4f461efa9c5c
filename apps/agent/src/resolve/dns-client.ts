import { Resolver } from 'node:dns/promises';
import type { Family } from '@gwctl/shared/domain/ip';
import type { Clock } from '../clock.js';

/** What servers say of one name and one family. */
export type FamilyAnswer =
  /** Not yet checked texts of addresses, and the smallest TTL of the answer in seconds. */
  | { readonly kind: 'addresses'; readonly addresses: readonly string[]; readonly ttl: number }
  /** A server said that there are none. */
  | { readonly kind: 'none'; readonly word: 'NXDOMAIN' | 'NODATA'; readonly server: string }
  /** No server said anything useful. Why, for people: `SERVFAIL from 10.0.0.2:53, no answer from 10.0.0.3:53`. */
  | { readonly kind: 'failed'; readonly why: string };

/** Asks DNS servers. Keeps nothing: each question goes to a server. */
export interface DnsClient {
  /**
   * Asks for the addresses of `name`, taken as fully qualified. Never rejects. `servers` are written `ADDRESS:PORT` or
   * `[ADDRESS]:PORT`, at least one; an answer that is not to be had from one is sought from the next.
   */
  ask(name: string, family: Family, servers: readonly string[]): Promise<FamilyAnswer>;
  /** Lets go of sockets; what was asked fails. */
  close(): void;
}

/** Milliseconds that a server has for a try. c-ares makes it one second for a server that it knows to be quick. */
const TRY = 2000;
/** A server that was silent is asked again once, after all others. */
const ROUNDS = 2;
/**
 * A server that was silent about so many names, and answered nothing in between, is asked last for so many milliseconds. One slow name is
 * not enough: it must not send all others to a second server, which may well know less.
 */
const SILENT_NAMES = 3;
const SHUNNED = 30_000;

const SILENCE = 'no answer';

/** What c-ares' error codes mean; further ones are shown as they are. */
const WORDS: Readonly<Record<string, string>> = {
  ESERVFAIL: 'SERVFAIL',
  EREFUSED: 'REFUSED',
  ENOTIMP: 'NOTIMP',
  EFORMERR: 'FORMERR',
  EBADRESP: 'an unreadable answer',
  ETIMEOUT: SILENCE,
  ECONNREFUSED: 'connection refused',
  ECANCELLED: 'no time to answer',
};

interface Server {
  readonly channel: Resolver;
  /** Names that it said nothing about, since it last said anything. */
  readonly silentAbout: Set<string>;
  /** Monotonic milliseconds. */
  shunnedUntil: number;
}

/**
 * c-ares by way of Node.js: UDP, then TCP for answers that were cut off, no cache, no search list. Node.js has c-ares take SERVFAIL
 * and REFUSED for an answer (ARES_FLAG_NOCHECKRESP), so the way from one server to the next is gone here, with a channel for each.
 */
export class CaresClient implements DnsClient {
  readonly #clock: Clock;
  readonly #tryMs: number;
  readonly #servers = new Map<string, Server>();

  /** `tryMs`: how long a server has for a try, 2,000 ms unless told. */
  constructor(options: { readonly clock: Clock; readonly tryMs?: number }) {
    this.#clock = options.clock;
    this.#tryMs = options.tryMs ?? TRY;
  }

  async ask(name: string, family: Family, servers: readonly string[]): Promise<FamilyAnswer> {
    const failed = new Map<string, string>();
    let left = this.#inOrder(servers);
    for (let round = 0; round < ROUNDS && left.length > 0; round++) {
      const silent: string[] = [];
      for (const server of left) {
        const answer = await this.#askOne(name, family, server);
        if (answer.kind !== 'failed') return answer;
        failed.set(server, answer.why);
        if (answer.why === SILENCE) silent.push(server);
      }
      left = silent;
    }
    return { kind: 'failed', why: servers.map((server) => `${failed.get(server)} from ${server}`).join(', ') };
  }

  close(): void {
    for (const { channel } of this.#servers.values()) channel.cancel();
    this.#servers.clear();
  }

  async #askOne(name: string, family: Family, address: string): Promise<FamilyAnswer> {
    let server: Server | undefined;
    try {
      server = this.#server(address);
      const { channel } = server;
      const records = family === 4 ? await channel.resolve4(name, { ttl: true }) : await channel.resolve6(name, { ttl: true });
      server.silentAbout.clear();
      if (records.length === 0) return { kind: 'none', word: 'NODATA', server: address };
      return { kind: 'addresses', addresses: records.map((r) => r.address), ttl: Math.min(...records.map((r) => r.ttl)) };
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
      if (server && code === 'ETIMEOUT') this.#silent(server, name);
      else server?.silentAbout.clear();
      if (code === 'ENOTFOUND') return { kind: 'none', word: 'NXDOMAIN', server: address };
      if (code === 'ENODATA') return { kind: 'none', word: 'NODATA', server: address };
      return { kind: 'failed', why: WORDS[code] ?? code };
    }
  }

  #silent(server: Server, name: string): void {
    server.silentAbout.add(name);
    if (server.silentAbout.size >= SILENT_NAMES) server.shunnedUntil = this.#clock.monotonic() + SHUNNED;
  }

  /** As they were given, but those last that say nothing. */
  #inOrder(servers: readonly string[]): readonly string[] {
    const now = this.#clock.monotonic();
    const shunned = (address: string) => {
      const server = this.#servers.get(address);
      return server !== undefined && server.silentAbout.size >= SILENT_NAMES && server.shunnedUntil > now;
    };
    return [...servers.filter((s) => !shunned(s)), ...servers.filter(shunned)];
  }

  #server(address: string): Server {
    let server = this.#servers.get(address);
    if (!server) {
      const channel = new Resolver({ timeout: this.#tryMs, maxTimeout: this.#tryMs, tries: 1 });
      channel.setServers([address]);
      server = { channel, silentAbout: new Set(), shunnedUntil: 0 };
      this.#servers.set(address, server);
    }
    return server;
  }
}
