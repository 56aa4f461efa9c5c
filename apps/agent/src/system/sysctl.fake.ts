import { AppError } from '@gwctl/shared/errors/app-error';
import type { Sysctl, SysctlRecord } from './sysctl.js';

/** Kernel parameters in memory. */
export class MemorySysctl implements Sysctl {
  readonly values: Map<string, string>;

  constructor(values: Readonly<Record<string, string>> = { 'net.ipv4.ip_forward': '1' }) {
    this.values = new Map(Object.entries(values));
  }

  async read(key: string): Promise<string> {
    const value = this.values.get(key);
    if (value === undefined)
      throw new AppError({
        code: 'FAILED_PRECONDITION',
        reason: 'SYSCTL_FAILED',
        message: `no parameter ${key}`,
        cause: Object.assign(new Error(key), { code: 'ENOENT' }),
      });
    return value;
  }

  async write(key: string, value: string): Promise<void> {
    this.values.set(key, value);
  }
}

export class MemorySysctlRecord implements SysctlRecord {
  readonly kept = new Map<string, string>();

  async before(key: string): Promise<string | undefined> {
    return this.kept.get(key);
  }

  async keep(key: string, value: string): Promise<void> {
    if (!this.kept.has(key)) this.kept.set(key, value);
  }

  async forget(key: string): Promise<void> {
    this.kept.delete(key);
  }

  async keys(): Promise<readonly string[]> {
    return [...this.kept.keys()];
  }

  trouble(): string | undefined {
    return undefined;
  }
}
