import { chmodSync, copyFileSync, writeFileSync } from 'node:fs';
import { isIPv6 } from 'node:net';
import { join } from 'node:path';
import type { Host } from '../host.js';
import type { Lab } from '../lab.js';
import type { RunningProcess } from '../running-process.js';

export interface BindOptions {
  /** Where it listens, on port 53 of UDP and TCP. */
  addresses: readonly string[];
  /** Default `internal`. */
  zone?: string;
  /** Names of the zone, relative to it, and their IPv4 and IPv6 addresses. */
  records: Readonly<Record<string, readonly string[]>>;
  /** Seconds, of every record. Default 1. */
  ttl?: number;
}

export interface Dig {
  /** Whom it asks: the address of a forward, not of the server itself. */
  to: string;
  /** Default 53. */
  port?: number;
  name: string;
  /** Default A. */
  type?: string;
  /** Over TCP. Default false. */
  tcp?: boolean;
  /** Default 2000; it asks once. */
  timeoutMs?: number;
}

/** What dig saw. */
export interface DigAnswer {
  /** `NOERROR`, `NXDOMAIN`, `SERVFAIL`, `REFUSED`; `none` where no answer came. */
  status: string;
  /** Data of the answer's records, sorted. */
  data: string[];
}

/** A real named, authoritative for one zone whose records change while it runs. Works in both modes. */
export class Bind {
  readonly zone: string;
  readonly #ttl: number;
  readonly #records: Map<string, readonly string[]>;
  #serial = 1;
  #failing = false;
  #process: RunningProcess | undefined;

  private constructor(
    private readonly host: Host,
    private readonly files: string,
    private readonly options: BindOptions,
  ) {
    this.zone = options.zone ?? 'internal';
    this.#ttl = options.ttl ?? 1;
    this.#records = new Map(Object.entries(options.records));
  }

  static async start<Name extends string>(lab: Lab<Name>, name: Name, options: BindOptions): Promise<Bind> {
    const bind = new Bind(lab.host(name), lab.directory(`${name}-named`), options);
    // Debian's AppArmor profile, which allows files below /etc/bind only, goes by the path of the program.
    copyFileSync('/usr/sbin/named', bind.#file('named'));
    chmodSync(bind.#file('named'), 0o755);
    await bind.boot();
    return bind;
  }

  /** Starts the daemon, for after `lab.reboot` or `stop`. */
  async boot(): Promise<RunningProcess> {
    this.#write();
    // One thread each; in the foreground, with its log on standard error.
    this.#process = await this.host.spawn([this.#file('named'), '-g', '-n', '1', '-c', this.#file('named.conf')], {
      ready: /\brunning$/m,
    });
    return this.#process;
  }

  /** Ends it: its ports refuse. */
  async stop(): Promise<void> {
    await this.#running.stop();
  }

  /** Halts it: queries are swallowed without a word. Until `thaw`. */
  freeze(): void {
    this.#running.kill('SIGSTOP');
  }

  thaw(): void {
    this.#running.kill('SIGCONT');
  }

  /** Gives a name these addresses, none for "no such name", and returns when answers have them. */
  async set(name: string, addresses: readonly string[]): Promise<void> {
    if (addresses.length > 0) this.#records.set(name, addresses);
    else this.#records.delete(name);
    await this.#reload(new RegExp(`zone ${this.zone}/IN: loaded serial ${++this.#serial}$`, 'm'));
  }

  /** Answers SERVFAIL to every question of the zone, or no longer. */
  async servfail(failing: boolean): Promise<void> {
    this.#failing = failing;
    await this.#reload(/reloading zones succeeded|all zones loaded/);
  }

  get #running(): RunningProcess {
    if (!this.#process) throw new Error('named has not been started');
    return this.#process;
  }

  #file(name: string): string {
    return join(this.files, name);
  }

  async #reload(loaded: RegExp): Promise<void> {
    this.#write();
    const from = this.#running.output.length;
    this.#running.kill('SIGHUP');
    await this.#running.waitForOutput(loaded, { from });
  }

  #write(): void {
    const { addresses } = this.options;
    const quoted = (name: string) => `"${this.#file(name)}"`;
    const listen = (family: 4 | 6) => addresses.filter((a) => isIPv6(a) === (family === 6)).map((a) => `${a};`);
    // A secondary that has never reached its primary has nothing to answer with, which is SERVFAIL.
    const zone = this.#failing
      ? 'type secondary; primaries { 127.0.0.1 port 9; };'
      : `type primary; file ${quoted('zone')}; notify no;`;
    writeFileSync(
      this.#file('named.conf'),
      `options {
  directory ${quoted('')};
  listen-on { ${listen(4).join(' ')} };
  listen-on-v6 { ${listen(6).join(' ')} };
  allow-query { any; };
  recursion no;
  dnssec-validation no;
  empty-zones-enable no;
  minimal-responses yes;
  pid-file none;
  session-keyfile none;
  lock-file none;
};
controls { };
zone "${this.zone}" { ${zone} };
`,
    );
    const records = [...this.#records].flatMap(([name, list]) =>
      list.map((a) => `${name} ${this.#ttl} IN ${isIPv6(a) ? 'AAAA' : 'A'} ${a}`),
    );
    const soa = `@ IN SOA ns.${this.zone}. hostmaster.${this.zone}. ${this.#serial} 3600 600 86400 ${this.#ttl}`;
    const origin = [`$ORIGIN ${this.zone}.`, `$TTL ${this.#ttl}`, soa, '@ IN NS ns', `ns IN A 127.0.0.1`];
    writeFileSync(this.#file('zone'), `${[...origin, ...records].join('\n')}\n`);
  }
}

/** Asks a DNS server once. */
export async function dig(from: Host, question: Dig): Promise<DigAnswer> {
  const { timeoutMs = 2000, type = 'A', port = 53 } = question;
  const how = ['+tries=1', '+noedns', `+time=${Math.max(1, Math.ceil(timeoutMs / 1000))}`, question.tcp ? '+tcp' : '+notcp'];
  const argv = ['dig', '-r', `@${question.to}`, '-p', String(port), ...how, question.name, type];
  const { stdout } = await from.exec(argv, { timeoutMs: timeoutMs + 3000, allowFailure: true });
  const answers = /;; ANSWER SECTION:\n([\s\S]*?)\n\n/.exec(stdout)?.[1] ?? '';
  return {
    status: /status: ([A-Z]+)/.exec(stdout)?.[1] ?? 'none',
    data: [...answers.matchAll(/\s\S+$/gm)].map((match) => match[0].trim()).sort(),
  };
}
