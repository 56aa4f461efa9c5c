import { readdir } from 'node:fs/promises';
import type { Family } from '@gwctl/shared/domain/ip';
import { isMissing, type Sysctl, type SysctlRecord } from './sysctl.js';
import { interfaceKey } from './sysctl-keys.js';

const KEYS = { 4: 'net.ipv4.ip_forward', 6: 'net.ipv6.conf.all.forwarding' } as const;
/** Router advertisements are accepted: on a host only, and on a router too (ip-sysctl.rst of the kernel). */
const ACCEPT_RA = { host: '1', router: '2' } as const;

export interface Forwarding {
  readonly on: boolean;
  /** We turned it on; it was off before. */
  readonly ours: boolean;
  /** Why it is unknown whether it was us; it then counts as the host's own. */
  readonly trouble?: string;
}

/** The one sysctl of a family that forwards need: turned on when the first comes, back to what it was when the last goes. */
export class IpForwarding {
  readonly family: Family;
  readonly #sysctl: Sysctl;
  readonly #record: SysctlRecord;
  readonly #interfaces: () => Promise<readonly string[]>;

  /** `family`: default 4. `interfaces` (default: the kernel's own list) names those that IPv6 is set up on. */
  constructor(options: {
    readonly sysctl: Sysctl;
    readonly record: SysctlRecord;
    readonly family?: Family;
    readonly interfaces?: () => Promise<readonly string[]>;
  }) {
    this.family = options.family ?? 4;
    this.#sysctl = options.sysctl;
    this.#record = options.record;
    this.#interfaces = options.interfaces ?? (() => readdir('/proc/sys/net/ipv6/conf'));
  }

  async read(): Promise<Forwarding> {
    const key = KEYS[this.family];
    const on = (await this.#sysctl.read(key)) !== '0';
    const ours = (await this.#record.before(key, on)) === '0';
    const trouble = this.#record.trouble();
    return { on, ours, ...(trouble === undefined ? {} : { trouble }) };
  }

  /** Notes what it was before it changes it, so that a crash in between can still be undone. */
  async turnOn(): Promise<void> {
    const key = KEYS[this.family];
    const before = await this.#sysctl.read(key);
    if (before === '1') return;
    if (this.family === 6) await this.#keepRoutes();
    await this.#record.keep(key, before);
    await this.#sysctl.write(key, '1');
  }

  /** Back to what it was before us; does nothing where it was not ours. */
  async restore(): Promise<void> {
    const key = KEYS[this.family];
    const before = await this.#record.before(key, true);
    if (before !== undefined) {
      await this.#sysctl.write(key, before);
      await this.#record.forget(key);
    }
    if (this.family === 6) await this.#restoreInterfaces();
  }

  /**
   * A router takes no default route from router advertisements: the one it has is not renewed, and some kernels drop it at once. So
   * every interface that accepts them is told to go on as a router. Turning forwarding off again turns it off everywhere, so where it
   * was on is noted too.
   */
  async #keepRoutes(): Promise<void> {
    for (const name of await this.#interfaces()) {
      if (name === 'all' || name === 'default' || name === 'lo') continue;
      const [forwarding, acceptRa] = [interfaceKey(6, name, 'forwarding'), interfaceKey(6, name, 'accept_ra')];
      try {
        const alone = (await this.#sysctl.read(forwarding)) !== '0';
        if (alone) await this.#record.keep(forwarding, '1');
        if (alone || (await this.#sysctl.read(acceptRa)) !== ACCEPT_RA.host) continue;
        await this.#record.keep(acceptRa, ACCEPT_RA.host);
        await this.#sysctl.write(acceptRa, ACCEPT_RA.router);
      } catch (error) {
        if (!isMissing(error)) throw error;
        await this.#record.forget(forwarding);
        await this.#record.forget(acceptRa);
      }
    }
  }

  async #restoreInterfaces(): Promise<void> {
    for (const key of await this.#record.keys()) {
      if (!/^net\.ipv6\.conf\.[^.]+\.(forwarding|accept_ra)$/.test(key) || key === KEYS[6]) continue;
      const before = await this.#record.before(key, true);
      try {
        if (before !== undefined) await this.#sysctl.write(key, before);
      } catch (error) {
        // The interface is gone, and what it was with it.
        if (!isMissing(error)) throw error;
      }
      await this.#record.forget(key);
    }
  }
}
