import { createHash } from 'node:crypto';
import type { OnChange } from '@gwctl/shared/domain/forward';
import type { WantedForward } from './gateway-protocol.js';

export interface ForwardOptions {
  readonly interface?: string;
  readonly allow?: readonly string[];
  /** `auto`, `masquerade`, `none`, or a fixed address. */
  readonly snat?: string;
  readonly onChange?: OnChange;
  readonly takeover?: boolean;
  readonly enabled?: boolean;
  readonly expires?: number;
  /** Tells forwards with the same listener apart; default: the listener. */
  readonly name?: string;
}

/** A forward in the CLI's words: `forward('203.0.113.10:443/tcp', '10.0.0.10:8443')`, `forward('53/udp', ...)` for every address. */
export function forward(listen: string, target: string, options: ForwardOptions = {}): WantedForward {
  const [, address = '', port, protocol] = /^(?:([\d.]+):)?(\d+)\/(tcp|udp)$/.exec(listen) ?? [];
  const [host = '', targetPort] = target.split(':');
  if (port === undefined || targetPort === undefined) throw new Error(`not a forward: ${listen} to ${target}`);
  const snat = options.snat ?? 'auto';
  const word = snat === 'auto' || snat === 'masquerade' || snat === 'none';
  const name = options.name ?? listen;
  return {
    uid: uidOf(name),
    name,
    spec: {
      listen: {
        address,
        interface: options.interface ?? '',
        protocol: protocol === 'udp' ? 'udp' : 'tcp',
        ports: { first: Number(port), last: Number(port) },
        announce: false,
      },
      targets: [{ host, port: Number(targetPort), weight: 1 }],
      allowSources: options.allow ?? [],
      snat: { mode: word ? snat : 'address', address: word ? '' : snat },
      driver: 'auto',
      onChange: options.onChange ?? 'drain',
      enabled: options.enabled ?? true,
      ...(options.expires === undefined ? {} : { expires: options.expires }),
      takeover: options.takeover ?? false,
    },
  };
}

function uidOf(name: string): string {
  const hex = createHash('sha256').update(name).digest('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), `4${hex.slice(13, 16)}`, `8${hex.slice(17, 20)}`, hex.slice(20, 32)].join('-');
}
