import { chmodSync, chownSync, copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { isIPv6 } from 'node:net';
import { join } from 'node:path';
import { type CommandResult, runCommand } from '../command.js';
import { commandEnvironment, labMode, needsRealRoot } from '../environment.js';
import type { Host } from '../host.js';
import type { Lab } from '../lab.js';
import type { RunningProcess } from '../running-process.js';

/** Uid and gid of the account that `Sshd` makes for its host. */
const accountId = 29_998;

export interface SshdOptions {
  /** Where it listens. */
  addresses: readonly string[];
  /** Default 22. */
  port?: number;
  /** Account that may log in, by key only; it exists on this host alone. Default git. */
  user?: string;
}

export interface SshTarget {
  /** Address and port that the client connects to: those of a forward, not of the sshd itself. */
  to: string;
  port: number;
}

export interface SshOptions extends SshTarget {
  /** Default: `hostname`. */
  command?: string;
  /** For the whole session. Default 10 000. */
  timeoutMs?: number;
  allowFailure?: boolean;
  stdin?: string;
}

/** A real sshd with its own configuration, host key, account and client key. Needs a real root. */
export class Sshd {
  private constructor(
    private readonly host: Host,
    readonly user: string,
    /** Home of the account. */
    readonly home: string,
    private readonly files: string,
    readonly port: number,
  ) {}

  static async start<Name extends string>(lab: Lab<Name>, name: Name, options: SshdOptions): Promise<Sshd> {
    if (labMode() !== 'root') throw new Error(`sshd on ${name}: ${needsRealRoot.sshd}`);
    const host = lab.host(name);
    const { user = 'git', port = 22 } = options;
    const files = lab.directory(`${name}-sshd`);
    const home = lab.directory(`${name}-home`);
    chownSync(home, accountId, accountId);
    const env = commandEnvironment();
    for (const key of ['host_key', 'client_key'])
      await runCommand(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', key, '-f', join(files, key)], { env });
    const publicKey = (key: string) =>
      readFileSync(join(files, `${key}.pub`), 'utf8')
        .split(' ')
        .slice(0, 2)
        .join(' ');
    copyFileSync(join(files, 'client_key.pub'), join(files, 'authorized_keys'));
    // The client checks the key under the host's name, whatever address it connects to.
    writeFileSync(join(files, 'known_hosts'), `${name} ${publicKey('host_key')}\n`);
    writeFileSync(
      join(files, 'sshd_config'),
      [
        ...options.addresses.map((a) => `ListenAddress ${isIPv6(a) ? `[${a}]` : a}:${port}`),
        `HostKey ${join(files, 'host_key')}`,
        `AuthorizedKeysFile ${join(files, 'authorized_keys')}`,
        `AllowUsers ${user}`,
        'AuthenticationMethods publickey',
        'UsePAM no',
        'UseDNS no',
        'StrictModes no',
        'PrintMotd no',
        'PidFile none',
        'LogLevel VERBOSE',
        '',
      ].join('\n'),
    );
    writeFileSync(
      join(files, 'passwd'),
      `${readFileSync('/etc/passwd', 'utf8').trimEnd()}\n${user}:x:${accountId}:${accountId}::${home}:/bin/sh\n`,
    );
    await host.overlay('/etc/passwd', join(files, 'passwd'));
    const sshd = new Sshd(host, user, home, files, port);
    await sshd.boot();
    return sshd;
  }

  /** Starts the daemon, for after `lab.reboot` or `stop`. */
  async boot(): Promise<RunningProcess> {
    const argv = ['/usr/sbin/sshd', '-D', '-e', '-f', join(this.files, 'sshd_config')];
    return this.host.spawn(argv, { ready: /Server listening on/ });
  }

  /** What stands between `ssh` and the command, for programs that start ssh themselves. */
  clientArguments(target: SshTarget): string[] {
    const options = {
      BatchMode: 'yes',
      IdentitiesOnly: 'yes',
      IdentityAgent: 'none',
      StrictHostKeyChecking: 'yes',
      UserKnownHostsFile: join(this.files, 'known_hosts'),
      GlobalKnownHostsFile: 'none',
      HostKeyAlias: this.host.name,
      UpdateHostKeys: 'no',
      LogLevel: 'ERROR',
    };
    const set = Object.entries(options).flatMap(([key, value]) => ['-o', `${key}=${value}`]);
    return ['-F', 'none', '-i', join(this.files, 'client_key'), ...set, '-p', String(target.port), `${this.user}@${target.to}`];
  }

  /**
   * Logs in from another host and runs a command. The host key is checked: a success shows that this very sshd answered.
   * @throws CommandError with ssh's own words, unless `allowFailure`
   */
  ssh(from: Host, options: SshOptions): Promise<CommandResult> {
    const { timeoutMs = 10_000 } = options;
    const patience = ['-o', `ConnectTimeout=${Math.max(1, Math.floor(timeoutMs / 1000) - 1)}`];
    return from.exec(['ssh', ...patience, ...this.clientArguments(options), options.command ?? 'hostname'], {
      timeoutMs,
      ...(options.allowFailure === undefined ? {} : { allowFailure: options.allowFailure }),
      ...(options.stdin === undefined ? {} : { stdin: options.stdin }),
    });
  }

  /** A bare repository `NAME.git` in the account's home, with one commit that holds `files`. */
  async addRepository(name: string, files: Readonly<Record<string, string>>): Promise<void> {
    const work = join(this.files, `work-${name}`);
    mkdirSync(work);
    for (const [path, text] of Object.entries(files)) writeFileSync(join(work, path), text);
    const git = (...args: string[]) => this.host.exec(['git', ...args], { cwd: work, env: gitEnvironment });
    await git('init', '--quiet', '--initial-branch=main');
    await git('add', '.');
    await git('commit', '--quiet', '--message=First');
    const bare = join(this.home, `${name}.git`);
    await git('clone', '--quiet', '--bare', work, bare);
    await this.host.exec(['chown', '-R', `${accountId}:${accountId}`, bare]);
  }

  /**
   * Clones a repository over ssh from another host into a new directory of the lab.
   * @returns the commit that was cloned. @throws CommandError with git's own words
   */
  async gitClone(from: Host, options: SshTarget & { repository: string; into: string; timeoutMs?: number }): Promise<string> {
    const wrapper = join(this.files, `ssh-to-${options.to}-${options.port}`);
    const [destination, ...settings] = this.clientArguments(options).reverse();
    const quoted = settings.reverse().map((word) => `'${word}'`);
    // git gives the destination and the command; -p is in ours already.
    writeFileSync(wrapper, `#!/bin/sh\nexec ssh -o ConnectTimeout=5 ${quoted.join(' ')} "$@"\n`);
    chmodSync(wrapper, 0o755);
    await from.exec(['git', 'clone', '--quiet', `${destination}:${options.repository}.git`, options.into], {
      env: { ...gitEnvironment, GIT_SSH: wrapper, GIT_SSH_VARIANT: 'ssh' },
      timeoutMs: options.timeoutMs ?? 20_000,
    });
    const { stdout } = await from.exec(['git', '-C', options.into, 'rev-parse', 'HEAD'], { env: gitEnvironment });
    return stdout.trim();
  }
}

/** No settings of the user or the machine, and an identity, which git would otherwise look up in DNS. */
const gitEnvironment = {
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_TERMINAL_PROMPT: '0',
  GIT_AUTHOR_NAME: 'lab',
  GIT_AUTHOR_EMAIL: 'lab@example.org',
  GIT_COMMITTER_NAME: 'lab',
  GIT_COMMITTER_EMAIL: 'lab@example.org',
};
