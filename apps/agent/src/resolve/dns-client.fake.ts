import type { Family } from '@gwctl/shared/domain/ip';
import type { DnsClient, FamilyAnswer } from './dns-client.js';

/** What a fake zone says of a name: its addresses of both families in one list, or why there is none. */
export type Said =
  | { readonly addresses: readonly string[]; readonly ttl?: number }
  | 'NXDOMAIN'
  | 'NODATA'
  /** A name that is asked for and never answered, until {@link FakeDns.release}. */
  | 'silence'
  | { readonly failed: string };

/** Servers that say what a test tells them to; what they were asked is counted. */
export class FakeDns implements DnsClient {
  readonly #zone = new Map<string, Said>();
  readonly #families = new Map<string, FamilyAnswer>();
  #waiting: (() => void)[] = [];
  /** Name and family, in order. */
  readonly asked: { readonly name: string; readonly family: Family; readonly servers: readonly string[] }[] = [];
  /** Questions without an answer, now and at most so far. */
  open = 0;
  most = 0;
  closed = false;

  say(name: string, said: Said): void {
    this.#zone.set(name, said);
  }

  /** What one family says, whatever the zone does. */
  sayFamily(name: string, family: Family, answer: FamilyAnswer | undefined): void {
    if (answer) this.#families.set(`${name} ${family}`, answer);
    else this.#families.delete(`${name} ${family}`);
  }

  /** How often a name was asked for (both families are one question). */
  times(name: string): number {
    return this.asked.filter((a) => a.name === name && a.family === 4).length;
  }

  /** Ends the silence: what was asked in it fails. */
  release(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const run of waiting) run();
  }

  async ask(name: string, family: Family, servers: readonly string[]): Promise<FamilyAnswer> {
    this.asked.push({ name, family, servers });
    this.open++;
    this.most = Math.max(this.most, this.open);
    const said = this.#zone.get(name) ?? 'NXDOMAIN';
    await (said === 'silence' ? new Promise<void>((resolve) => this.#waiting.push(resolve)) : Promise.resolve());
    this.open--;
    return this.#families.get(`${name} ${family}`) ?? answerOf(said, family, servers);
  }

  close(): void {
    this.closed = true;
    this.release();
  }
}

function answerOf(said: Said, family: Family, servers: readonly string[]): FamilyAnswer {
  const server = servers[0] ?? '';
  if (said === 'silence') return { kind: 'failed', why: `no answer from ${servers.join(', ')}` };
  if (said === 'NXDOMAIN' || said === 'NODATA') return { kind: 'none', word: said, server };
  if ('failed' in said) return { kind: 'failed', why: `${said.failed} from ${servers.join(', ')}` };
  const addresses = said.addresses.filter((a) => a.includes(':') === (family === 6));
  return addresses.length === 0
    ? { kind: 'none', word: 'NODATA', server }
    : { kind: 'addresses', addresses, ttl: said.ttl ?? 60 };
}
