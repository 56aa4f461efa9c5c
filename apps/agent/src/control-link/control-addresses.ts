import { lookup } from 'node:dns/promises';
import { type IpAddress, parseIp } from '@gwctl/shared/domain/ip';
import type { Logger } from '@gwctl/shared/logging/logger';
import type { Clock, Timer } from '../clock.js';
import { type Endpoint, parseEndpoint } from '../identity/endpoint.js';

/** Milliseconds between two looks at DNS. */
const REFRESH = 60_000;

export interface ControlAddress {
  readonly address: IpAddress;
  readonly port: number;
}

export interface ControlAddressesOptions {
  /** HOST:PORT. */
  readonly servers: readonly string[];
  readonly clock: Clock;
  readonly log: Logger;
  /** Default: the system's resolver. */
  readonly resolve?: (host: string) => Promise<readonly string[]>;
}

/** Where the control plane is, as addresses: no forward may take traffic to it. A name that does not resolve keeps its last answer. */
export class ControlAddresses {
  private readonly endpoints: readonly Endpoint[];
  private readonly known = new Map<string, readonly IpAddress[]>();
  private timer: Timer | undefined;

  constructor(private readonly options: ControlAddressesOptions) {
    this.endpoints = options.servers.map(parseEndpoint);
    for (const { host } of this.endpoints) {
      const ip = parseIp(host);
      if (ip.ok) this.known.set(host, [ip.value]);
    }
  }

  current(): readonly ControlAddress[] {
    return this.endpoints.flatMap(({ host, port }) => (this.known.get(host) ?? []).map((address) => ({ address, port })));
  }

  /** Looks the names up, now and every minute. */
  async start(): Promise<void> {
    await this.refresh();
    this.timer = this.options.clock.after(REFRESH, () => void this.start());
  }

  stop(): void {
    this.timer?.cancel();
  }

  async refresh(): Promise<void> {
    const names = new Set(this.endpoints.map((e) => e.host).filter((host) => !parseIp(host).ok));
    await Promise.all([...names].map((name) => this.look(name)));
  }

  private async look(name: string): Promise<void> {
    const resolve = this.options.resolve ?? systemResolver;
    try {
      const addresses = (await resolve(name)).flatMap((text) => {
        const ip = parseIp(text);
        return ip.ok ? [ip.value] : [];
      });
      if (addresses.length > 0) this.known.set(name, addresses);
    } catch (error) {
      this.options.log.debug(
        { err: error, name },
        'the name of the control plane does not resolve; its last addresses stay protected',
      );
    }
  }
}

const systemResolver = async (host: string): Promise<readonly string[]> =>
  (await lookup(host, { all: true })).map((found) => found.address);
