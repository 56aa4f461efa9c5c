import { createHash } from 'node:crypto';
import type { Affinity, HelperChoice, OnChange, Protocol } from '@gwctl/shared/domain/forward';
import { rawTraffic } from '@gwctl/shared/testing/traffic';
import type { WantedEgress, WantedForward } from './gateway-protocol.js';

export interface ForwardOptions {
  readonly interface?: string;
  readonly announce?: boolean;
  readonly allow?: readonly string[];
  /** `auto`, `masquerade`, `none`, or a fixed address. */
  readonly snat?: string;
  readonly onChange?: OnChange;
  readonly affinity?: Affinity;
  readonly helper?: HelperChoice;
  readonly clampMss?: boolean;
  readonly takeover?: boolean;
  readonly enabled?: boolean;
  readonly expires?: number;
  /** Tells forwards with the same listener apart; default: the listener. */
  readonly name?: string;
}

const LISTEN = /^(?:(?:\[([\da-f:]+)\]|(\d+(?:\.\d+){3}))(?::|(?=\/)))?(?:(\d+)(?:-(\d+))?)?\/(tcp|udp|tcp\+udp|all)$/;
const TARGET = /^(?:\[([\da-f:]+)\]|([\w.-]+))(?::(\d+))?(?:\*(\d+))?$/;

/**
 * A forward in the CLI's words: `forward('203.0.113.10:443/tcp', '10.0.0.10:8443')`; `53/udp` for every address, `[::1]:7000-7009/tcp` a
 * range, `203.0.113.50/all` without ports; targets with a weight `10.0.0.31:80*70`, and without a port where the listener's is kept.
 */
export function forward(listen: string, target: string | readonly string[], options: ForwardOptions = {}): WantedForward {
  const [, v6, v4, first, last, protocol] = LISTEN.exec(listen) ?? [];
  if (protocol === undefined) throw new Error(`not a listener: ${listen}`);
  const { name = listen, interface: by = '', announce = false, allow = [], snat = 'auto', ...more } = options;
  const word = snat === 'auto' || snat === 'masquerade' || snat === 'none';
  return {
    uid: uidOf(name),
    name,
    spec: rawTraffic({
      listen: {
        address: v6 ?? v4 ?? '',
        interface: by,
        protocol: protocol as Protocol,
        ports: first === undefined ? undefined : { first: Number(first), last: Number(last ?? first) },
        announce,
      },
      targets: (typeof target === 'string' ? [target] : target).map(parseTarget),
      allowSources: allow,
      snat: { mode: word ? snat : 'address', address: word ? '' : snat },
      helper: 'none',
      ...more,
    }),
  };
}

function parseTarget(text: string): WantedForward['spec']['targets'][number] {
  const [, v6, other, port, weight] = TARGET.exec(text) ?? [];
  const host = v6 ?? other;
  if (host === undefined) throw new Error(`not a target: ${text}`);
  return { host, port: Number(port ?? 0), weight: Number(weight ?? 1) };
}

export interface EgressOptions {
  readonly sources: readonly string[];
  readonly out: string;
  /** A fixed address; default: masquerade. */
  readonly snat?: string;
  readonly except?: readonly string[];
}

export function egress(name: string, { sources, out, snat, except }: EgressOptions): WantedEgress {
  return {
    uid: uidOf(`egress ${name}`),
    name,
    spec: {
      sources,
      outInterface: out,
      snat: snat === undefined ? { mode: 'masquerade', address: '' } : { mode: 'address', address: snat },
      exceptDestinations: except ?? [],
      enabled: true,
    },
  };
}

/** Of two that claim the same, the planner keeps the first of these. */
export const byUid = (forwards: readonly WantedForward[]): readonly WantedForward[] =>
  [...forwards].sort((a, b) => (a.uid < b.uid ? -1 : 1));

function uidOf(name: string): string {
  const hex = createHash('sha256').update(name).digest('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), `4${hex.slice(13, 16)}`, `8${hex.slice(17, 20)}`, hex.slice(20, 32)].join('-');
}
