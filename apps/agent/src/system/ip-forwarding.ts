import type { Sysctl, SysctlRecord } from './sysctl.js';

const KEY = 'net.ipv4.ip_forward';

export interface Forwarding {
  readonly on: boolean;
  /** We turned it on; it was off before. */
  readonly ours: boolean;
  /** Why it is unknown whether it was us; it then counts as the host's own. */
  readonly trouble?: string;
}

/** The one sysctl that forwards need: turned on when the first comes, back to what it was when the last goes. */
export class IpForwarding {
  readonly #sysctl: Sysctl;
  readonly #record: SysctlRecord;

  constructor(options: { readonly sysctl: Sysctl; readonly record: SysctlRecord }) {
    this.#sysctl = options.sysctl;
    this.#record = options.record;
  }

  async read(): Promise<Forwarding> {
    const on = (await this.#sysctl.read(KEY)) !== '0';
    const ours = (await this.#record.before(KEY, on)) === '0';
    const trouble = this.#record.trouble();
    return { on, ours, ...(trouble === undefined ? {} : { trouble }) };
  }

  /** Notes what it was before it changes it, so that a crash in between can still be undone. */
  async turnOn(): Promise<void> {
    const before = await this.#sysctl.read(KEY);
    if (before === '1') return;
    await this.#record.keep(KEY, before);
    await this.#sysctl.write(KEY, '1');
  }

  /** Back to what it was before us; does nothing where it was not ours. */
  async restore(): Promise<void> {
    const before = await this.#record.before(KEY, true);
    if (before === undefined) return;
    await this.#sysctl.write(KEY, before);
    await this.#record.forget(KEY);
  }
}
