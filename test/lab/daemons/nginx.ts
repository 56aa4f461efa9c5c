import { mkdirSync, writeFileSync } from 'node:fs';
import { isIPv6 } from 'node:net';
import { join } from 'node:path';
import { type CommandResult, runCommand } from '../command.js';
import { commandEnvironment } from '../environment.js';
import type { Host } from '../host.js';
import type { Lab } from '../lab.js';
import type { RunningProcess } from '../running-process.js';

export interface NginxOptions {
  /** Where it listens. */
  addresses: readonly string[];
  /** Default 80. */
  httpPort?: number;
  /** Default: no https. */
  httpsPort?: number;
  /** Addresses that clients write, which the certificate is for: those of forwards. Default: `addresses`. */
  certificateFor?: readonly string[];
}

export interface HttpGet {
  /** Address and port that the client connects to: those of a forward, not of the server itself. */
  to: string;
  /** Default: 80, or 443 for https. */
  port?: number;
  /** Default false. The certificate is checked: a success shows that this very nginx answered. */
  https?: boolean;
  /** Default 5000. */
  timeoutMs?: number;
  allowFailure?: boolean;
}

const inUrl = (address: string) => (isIPv6(address) ? `[${address}]` : address);

/** A real nginx with http and https that tells its host's name and how it sees the client. Works in both modes. */
export class Nginx {
  #process: RunningProcess | undefined;

  private constructor(
    private readonly host: Host,
    private readonly files: string,
  ) {}

  static async start<Name extends string>(lab: Lab<Name>, name: Name, options: NginxOptions): Promise<Nginx> {
    const files = lab.directory(`${name}-nginx`);
    const file = (path: string) => join(files, path);
    const { addresses, httpPort = 80, httpsPort, certificateFor = addresses } = options;
    if (httpsPort !== undefined) await makeCertificate(files, certificateFor);
    const listen = addresses.flatMap((a) => [
      `listen ${inUrl(a)}:${httpPort};`,
      ...(httpsPort === undefined ? [] : [`listen ${inUrl(a)}:${httpsPort} ssl;`]),
    ]);
    const tls =
      httpsPort === undefined ? [] : [`ssl_certificate ${file('server.crt')};`, `ssl_certificate_key ${file('server.key')};`];
    mkdirSync(file('temporary'));
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
    writeFileSync(
      file('nginx.conf'),
      [
        // One process that never changes its user, so that it is the same in both modes.
        'user root root;',
        'daemon off;',
        'master_process off;',
        `pid ${file('pid')};`,
        'error_log stderr notice;',
        'events { worker_connections 512; }',
        'http {',
        ...temporary.map((t) => `${t}_temp_path ${file('temporary')};`),
        'access_log off;',
        'default_type text/plain;',
        'server {',
        ...listen,
        ...tls,
        `location / { return 200 "${name} $scheme $remote_addr\\n"; }`,
        '}',
        '}',
        '',
      ].join('\n'),
    );
    const nginx = new Nginx(lab.host(name), files);
    await nginx.boot();
    return nginx;
  }

  /** Starts the daemon, for after `lab.reboot` or `stop`. */
  async boot(): Promise<RunningProcess> {
    const argv = ['nginx', '-p', this.files, '-c', join(this.files, 'nginx.conf'), '-e', 'stderr'];
    this.#process = await this.host.spawn(argv, { ready: /using the "epoll" event method/ });
    return this.#process;
  }

  /** Ends it at once: its ports refuse. */
  async stop(): Promise<void> {
    await this.#process?.stop('SIGTERM');
  }

  /**
   * Fetches `/` from another host: `HOST SCHEME CLIENT-ADDRESS`.
   * @throws CommandError with curl's own words, unless `allowFailure`
   */
  get(from: Host, get: HttpGet): Promise<CommandResult> {
    const { https = false, timeoutMs = 5000 } = get;
    const url = `http${https ? 's' : ''}://${inUrl(get.to)}:${get.port ?? (https ? 443 : 80)}/`;
    const patience = ['--max-time', String(timeoutMs / 1000)];
    const trust = https ? ['--cacert', join(this.files, 'server.crt')] : [];
    return from.exec(['curl', '--silent', '--show-error', '--fail', ...patience, ...trust, url], {
      timeoutMs: timeoutMs + 2000,
      allowFailure: get.allowFailure ?? false,
    });
  }
}

/** A key and a certificate that signs itself, for a day. */
async function makeCertificate(files: string, addresses: readonly string[]): Promise<void> {
  const names = addresses.map((a) => `IP:${a}`).join(',');
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', join(files, 'server.key')];
  const about = ['-subj', '/CN=lab', '-addext', `subjectAltName=${names}`, '-days', '1'];
  await runCommand(['openssl', 'req', '-x509', ...key, ...about, '-out', join(files, 'server.crt')], {
    env: commandEnvironment(),
  });
}
