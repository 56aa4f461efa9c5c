import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CommandResult } from '../command.js';
import type { Host } from '../host.js';
import type { Lab } from '../lab.js';
import type { RunningProcess } from '../running-process.js';

const account = { user: 'app', password: 'lab' } as const;
/** Small, and without what only matters when the machine loses power. */
const small = [
  '--innodb-buffer-pool-size=8M',
  '--innodb-log-file-size=4M',
  '--innodb-doublewrite=0',
  '--innodb-flush-log-at-trx-commit=0',
  '--innodb-fast-shutdown=2',
  '--skip-name-resolve',
];

export interface MariadbOptions {
  address: string;
  /** Default 3306. */
  port?: number;
}

export interface MariadbTarget {
  /** Address and port that the client connects to: those of a forward, not of the server itself. */
  to: string;
  /** Default 3306. */
  port?: number;
}

export interface MariadbQuery extends MariadbTarget {
  /** Default: `SELECT @@hostname`, which tells the server's host. */
  sql?: string;
  /** For all of it. Default 10 000. */
  timeoutMs?: number;
  allowFailure?: boolean;
}

/** A server that starts removes what looks left over there, so two that start at the same time must not share one. */
const temporary = (files: string) => `--tmpdir=${join(files, 'temporary')}`;

const whoAreYou = 'SELECT @@hostname';

function clientCommand(target: MariadbTarget, connectTimeoutSeconds: number): string[] {
  const { user, password } = account;
  const login = [`--user=${user}`, `--password=${password}`, `--host=${target.to}`, `--port=${target.port ?? 3306}`];
  const form = ['--batch', '--skip-column-names', '--unbuffered', '--skip-reconnect'];
  return ['mariadb', '--no-defaults', '--protocol=tcp', `--connect-timeout=${connectTimeoutSeconds}`, ...login, ...form];
}

/** A MariaDB server with data of its own, which says who it is: its host's name. Works in both modes. */
export class Mariadb {
  #process: RunningProcess | undefined;

  private constructor(
    private readonly host: Host,
    private readonly files: string,
    private readonly options: MariadbOptions,
  ) {}

  /** Makes its database (half a second) and starts it. */
  static async start<Name extends string>(lab: Lab<Name>, name: Name, options: MariadbOptions): Promise<Mariadb> {
    const host = lab.host(name);
    const files = lab.directory(`${name}-mariadb`);
    const data = join(files, 'data');
    mkdirSync(join(files, 'temporary'));
    const install = ['mariadb-install-db', '--no-defaults', `--datadir=${data}`, '--user=root', '--skip-test-db'];
    const own = ['--auth-root-authentication-method=normal', temporary(files)];
    await host.exec([...install, ...own, ...small], { timeoutMs: 60_000 });
    const { user, password } = account;
    writeFileSync(
      join(files, 'init.sql'),
      [
        'CREATE DATABASE IF NOT EXISTS lab;',
        `CREATE USER IF NOT EXISTS '${user}'@'%' IDENTIFIED BY '${password}';`,
        `GRANT ALL ON lab.* TO '${user}'@'%';`,
        '',
      ].join('\n'),
    );
    const mariadb = new Mariadb(host, files, options);
    await mariadb.boot();
    return mariadb;
  }

  /** Starts the server, for after `lab.reboot` or `stop`. */
  async boot(): Promise<RunningProcess> {
    const { address, port = 3306 } = this.options;
    const file = (name: string) => join(this.files, name);
    const places = [`--datadir=${file('data')}`, `--socket=${file('socket')}`, `--pid-file=${file('pid')}`];
    const listen = [`--bind-address=${address}`, `--port=${port}`, `--init-file=${file('init.sql')}`, temporary(this.files)];
    this.#process = await this.host.spawn(['mariadbd', '--no-defaults', '--user=root', ...places, ...listen, ...small], {
      ready: /ready for connections/,
      readyTimeoutMs: 30_000,
    });
    return this.#process;
  }

  /** SIGKILL: its connections are closed by the kernel, and its port refuses. */
  async stop(): Promise<void> {
    await this.#process?.stop('SIGKILL');
  }
}

/** Asks whatever MariaDB answers there. @throws CommandError with the client's own words, unless `allowFailure` */
export function queryMariadb(from: Host, query: MariadbQuery): Promise<CommandResult> {
  const { timeoutMs = 10_000, sql = whoAreYou, allowFailure = false } = query;
  const argv = clientCommand(query, Math.max(1, Math.floor(timeoutMs / 1000) - 1));
  return from.exec([...argv, `--execute=${sql}`], { timeoutMs, allowFailure });
}

/** One connection that stays, to see what a change does to it. */
export class MariadbSession {
  private constructor(private readonly process: RunningProcess) {}

  static async open(from: Host, target: MariadbTarget): Promise<MariadbSession> {
    const session = new MariadbSession(await from.spawn(clientCommand(target, 5)));
    await session.ask();
    return session;
  }

  /** The host name of the server at the other end. @throws CommandError with the client's words once the connection is lost */
  async ask(options: { timeoutMs?: number } = {}): Promise<string> {
    const from = this.process.output.length;
    this.process.stdin.write(`${whoAreYou};\n`);
    // The client writes the query between dashes before it says that the connection is lost, and ends.
    const answer = await this.process.waitForOutput(/^([a-z]\S*)\n/m, { from, timeoutMs: options.timeoutMs ?? 5000 });
    return answer[1] ?? '';
  }

  async close(): Promise<void> {
    await this.process.stop();
  }
}

/** A client that connects anew as soon as it has its answer, some dozens of times a second, without a pause. */
export class MariadbReconnecting {
  private constructor(private readonly process: RunningProcess) {}

  /** Returns when the first query was answered. */
  static async start(from: Host, target: MariadbTarget): Promise<MariadbReconnecting> {
    const script = 'while :; do "$@" || echo FAILED; done';
    const argv = [...clientCommand(target, 3), `--execute=${whoAreYou}`];
    return new MariadbReconnecting(await from.spawn(['sh', '-c', script, 'sh', ...argv], { ready: /\n/ }));
  }

  /** Who answered, in order; `FAILED` for a connection without an answer. */
  get answers(): string[] {
    return this.process.stdout.split('\n').slice(0, -1);
  }

  /** What the failed ones said. */
  get errors(): string {
    return this.process.stderr;
  }

  /** Awaits `count` answers (default 1) in a row from this server, counted from now. */
  async answeredBy(server: string, options: { count?: number; timeoutMs?: number } = {}): Promise<void> {
    const { count = 1, timeoutMs = 10_000 } = options;
    const from = this.process.output.length;
    await this.process.waitForOutput(new RegExp(`(?:^${server}\\n){${count}}`, 'm'), { from, timeoutMs });
  }

  async stop(): Promise<void> {
    await this.process.stop();
  }
}
