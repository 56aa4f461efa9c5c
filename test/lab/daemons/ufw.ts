import { copyFileSync, cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CommandResult } from '../command.js';
import type { Host } from '../host.js';
import type { Lab } from '../lab.js';

const TEMPLATES = '/usr/share/ufw';

export interface UfwOptions {
  /** Words after `ufw`, run before it is enabled: `allow 22/tcp`. */
  rules?: readonly string[];
}

/**
 * Debian's ufw on one host: its packaged defaults, input and forward DROP. It has its own /etc/ufw and /etc/default/ufw
 * there, so the machine's are neither read nor changed. Works in both modes. It uses the iptables that the system's
 * alternatives name (Debian: iptables-nft).
 */
export class Ufw {
  private constructor(private readonly host: Host) {}

  /** Writes its files and enables it. */
  static async enable<Name extends string>(lab: Lab<Name>, name: Name, options: UfwOptions = {}): Promise<Ufw> {
    const host = lab.host(name);
    const etc = lab.directory(`${name}-ufw`);
    // As the package's postinst does. The installed files belong to the machine, and only its root may read them.
    for (const file of ['before.rules', 'before6.rules', 'after.rules', 'after6.rules', 'user.rules', 'user6.rules']) {
      copyFileSync(join(TEMPLATES, 'iptables', file), join(etc, file));
    }
    for (const file of ['before.init', 'after.init', 'ufw.conf']) copyFileSync(join(TEMPLATES, file), join(etc, file));
    mkdirSync(join(etc, 'applications.d'));
    cpSync('/etc/ufw/sysctl.conf', join(etc, 'sysctl.conf'));
    const defaults: Record<string, string> = {
      IPV6: 'yes',
      DEFAULT_INPUT_POLICY: '"DROP"',
      DEFAULT_OUTPUT_POLICY: '"ACCEPT"',
      DEFAULT_FORWARD_POLICY: '"DROP"',
      DEFAULT_APPLICATION_POLICY: '"SKIP"',
      MANAGE_BUILTINS: 'no',
      IPT_SYSCTL: '/etc/ufw/sysctl.conf',
      IPT_MODULES: '""',
    };
    const lines = Object.entries(defaults).map(([key, value]) => `${key}=${value}\n`);
    writeFileSync(join(etc, 'default'), lines.join(''));
    await host.overlay('/etc/ufw', etc);
    await host.overlay('/etc/default/ufw', join(etc, 'default'));
    const ufw = new Ufw(host);
    for (const rule of options.rules ?? []) await ufw.run(rule);
    await ufw.run('--force enable');
    return ufw;
  }

  /** `ufw` with the words of one line. */
  run(words: string): Promise<CommandResult> {
    return this.host.exec(['ufw', ...words.split(' ').filter(Boolean)], { timeoutMs: 30_000 });
  }

  /** What its service does when the host starts, for after `lab.reboot`. */
  async boot(): Promise<void> {
    await this.host.exec(['/lib/ufw/ufw-init', 'start', 'quiet'], { timeoutMs: 30_000 });
  }
}
