import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CommandResult } from '../command.js';
import type { Host } from '../host.js';
import type { Lab } from '../lab.js';
import type { RunningProcess } from '../running-process.js';

export interface FtpTransfer {
  /** Address and port that the client connects to: those of a forward, not of the server itself. */
  to: string;
  /** Default 21. */
  port?: number;
  /** Who opens the data connection: the server to the client (`active`), or the client to the server. */
  mode: 'active' | 'passive';
  /**
   * EPRT and EPSV (RFC 2428) instead of PORT and PASV (RFC 959). Default false: then addresses are named in the control
   * connection, and the client goes exactly where it is told.
   */
  extended?: boolean;
  /** Default 10 MiB. */
  bytes?: number;
  /** For the whole transfer. Default 15 000. */
  timeoutMs?: number;
}

/** SHA-256 of what one side sent and of what the other has. */
export interface FtpResult {
  sent: string;
  received: string;
}

const sha256 = (data: Buffer) => createHash('sha256').update(data).digest('hex');

/**
 * A real vsftpd for anonymous users, who may upload. It never changes its user, so that it is the same in both modes.
 * As packaged it refuses an active data connection to another address than the control connection came from.
 */
export class Vsftpd {
  #transfers = 0;

  private constructor(
    private readonly lab: Lab,
    private readonly host: Host,
    private readonly files: string,
  ) {}

  /** Listens on port 21 of every address, IPv4 and IPv6. */
  static async start<Name extends string>(lab: Lab<Name>, name: Name): Promise<Vsftpd> {
    const files = lab.directory(`${name}-vsftpd`);
    // The root itself must not be writable for anonymous users: vsftpd checks that.
    mkdirSync(join(files, 'root', 'upload'), { recursive: true });
    mkdirSync(join(files, 'empty'));
    const settings: Readonly<Record<string, string>> = {
      listen: 'NO',
      listen_ipv6: 'YES',
      background: 'NO',
      run_as_launching_user: 'YES',
      ftp_username: 'root',
      nopriv_user: 'root',
      secure_chroot_dir: join(files, 'empty'),
      anon_root: join(files, 'root'),
      anonymous_enable: 'YES',
      no_anon_password: 'YES',
      write_enable: 'YES',
      anon_upload_enable: 'YES',
      anon_world_readable_only: 'NO',
      port_enable: 'YES',
      pasv_enable: 'YES',
      connect_from_port_20: 'YES',
      // The lab's hosts are namespaces already, and an ordinary user may not make the ones that vsftpd would.
      isolate: 'NO',
      isolate_network: 'NO',
      seccomp_sandbox: 'NO',
      session_support: 'NO',
    };
    writeFileSync(
      join(files, 'vsftpd.conf'),
      Object.entries(settings)
        .map(([key, value]) => `${key}=${value}\n`)
        .join(''),
    );
    const vsftpd = new Vsftpd(lab, lab.host(name), files);
    await vsftpd.boot();
    return vsftpd;
  }

  /** Starts the daemon, for after `lab.reboot`. */
  async boot(): Promise<RunningProcess> {
    return this.host.spawn(['vsftpd', join(this.files, 'vsftpd.conf')], { ready: 21 });
  }

  /** The server sends new random bytes. @throws CommandError with curl's own words */
  async download(from: Host, transfer: FtpTransfer): Promise<FtpResult> {
    const name = `down-${++this.#transfers}`;
    const data = randomBytes(transfer.bytes ?? 10 << 20);
    writeFileSync(join(this.files, 'root', name), data);
    const into = join(this.lab.directory('ftp-clients'), name);
    await this.#curl(from, transfer, name, ['--output', into]);
    return { sent: sha256(data), received: sha256(readFileSync(into)) };
  }

  /** The client sends new random bytes. @throws CommandError with curl's own words */
  async upload(from: Host, transfer: FtpTransfer): Promise<FtpResult> {
    const name = `up-${++this.#transfers}`;
    const data = randomBytes(transfer.bytes ?? 10 << 20);
    const source = join(this.lab.directory('ftp-clients'), name);
    writeFileSync(source, data);
    await this.#curl(from, transfer, `upload/${name}`, ['--upload-file', source]);
    return { sent: sha256(data), received: sha256(readFileSync(join(this.files, 'root', 'upload', name))) };
  }

  #curl(from: Host, transfer: FtpTransfer, path: string, args: readonly string[]): Promise<CommandResult> {
    const { timeoutMs = 15_000, extended = false } = transfer;
    const data = {
      active: ['--ftp-port', '-', extended ? '--eprt' : '--disable-eprt'],
      passive: [extended ? '--epsv' : '--disable-epsv', '--no-ftp-skip-pasv-ip'],
    }[transfer.mode];
    const host = transfer.to.includes(':') ? `[${transfer.to}]` : transfer.to;
    const url = `ftp://${host}:${transfer.port ?? 21}/${path}`;
    const patience = ['--connect-timeout', '5', '--max-time', String(Math.floor(timeoutMs / 1000) - 1)];
    return from.exec(['curl', '--silent', '--show-error', '--verbose', ...patience, ...data, ...args, url], { timeoutMs });
  }
}
