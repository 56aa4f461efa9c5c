import { Inject, Injectable } from '@nestjs/common';
import { CONFIG, type Config, formatAddress, type ListenAddress } from '../config/config.js';

/** By what this control plane is reached. */
@Injectable()
export class ServerAddresses {
  /** Set once it listens; differs from the configured one where that was 0. */
  port: number;

  constructor(@Inject(CONFIG) private readonly config: Config) {
    this.port = config.listen.port;
  }

  get listen(): ListenAddress {
    return { host: this.config.listen.host, port: this.port };
  }

  /** HOST:PORT for join strings: what is advertised, else what it listens on. */
  get advertised(): readonly string[] {
    const { advertise } = this.config;
    return (advertise.length > 0 ? advertise : [this.listen]).map(formatAddress);
  }

  /** Names and addresses that the server certificate must cover. */
  get certificateHosts(): readonly string[] {
    const { advertise, listen } = this.config;
    const hosts = [...advertise.map((a) => a.host), ...(isWildcard(listen.host) ? [] : [listen.host])];
    return hosts.some((host) => host === '127.0.0.1' || host === '::1') ? [...hosts, 'localhost'] : hosts;
  }
}

const isWildcard = (host: string): boolean => host === '0.0.0.0' || host === '::';
