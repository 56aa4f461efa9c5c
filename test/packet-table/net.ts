/** The addresses of the packet table's hosts, by family, so that each state is written once and holds for both. */
export interface Net {
  readonly family: 4 | 6;
  /** First word of the names of states. */
  readonly label: 'IPv4' | 'IPv6';
  /** Addresses of the gateway: two on `wan`, one on `dmz`, two on `lan`. */
  readonly vip: string;
  readonly wan: string;
  readonly dmzGw: string;
  readonly lan: string;
  readonly lan2: string;
  /** Of the clients on `wan`. `cli` is the one that they use when none is named. */
  readonly cli: string;
  readonly cli3: string;
  /** Outside {@link half}. */
  readonly cli66: string;
  /** Further clients on the same host, for what is decided by client. */
  readonly crowd: readonly string[];
  readonly dmz: string;
  /** Targets. The other tool of foreign.ts lets what goes to and comes from `t50` pass. */
  readonly t10: string;
  readonly t20: string;
  readonly t31: string;
  readonly t50: string;
  /** Has no route back. */
  readonly off: string;
  /** Behind a router whose link takes packets of 1280 bytes; the gateway does not know. */
  readonly far: string;
  /** On the same host; the gateway's route to it says 1280. */
  readonly narrow: string;
  /** Nobody's: clients send it to the gateway. */
  readonly nobody: string;
  /** Nobody's, in the clients' own network: they ask their neighbours for it. */
  readonly neighbour: string;
  readonly loopback: string;
  /** Networks. `half` holds `cli` and `cli3` and not `cli66`. */
  readonly half: string;
  readonly wanNet: string;
  readonly lanNet: string;
  readonly everybody: string;
  /** Prefix length of one address. */
  readonly host: 32 | 128;
  readonly iptables: 'iptables' | 'ip6tables';
}

const crowd = (base: string, from: number) => Array.from({ length: 24 }, (_, i) => `${base}${from + i}`);

export const IPV4: Net = {
  family: 4,
  label: 'IPv4',
  vip: '203.0.113.10',
  wan: '198.51.100.1',
  dmzGw: '192.0.2.1',
  lan: '10.0.0.1',
  lan2: '10.0.0.2',
  cli: '198.51.100.2',
  cli3: '198.51.100.3',
  cli66: '198.51.100.66',
  crowd: crowd('198.51.100.', 100),
  dmz: '192.0.2.9',
  t10: '10.0.0.10',
  t20: '10.0.0.20',
  t31: '10.0.0.31',
  t50: '10.0.0.50',
  off: '10.0.0.60',
  far: '10.0.9.9',
  narrow: '10.0.8.9',
  nobody: '203.0.113.77',
  neighbour: '198.51.100.50',
  loopback: '127.0.0.1',
  half: '198.51.100.0/26',
  wanNet: '198.51.100.0/24',
  lanNet: '10.0.0.0/24',
  everybody: '0.0.0.0/0',
  host: 32,
  iptables: 'iptables',
};

export const IPV6: Net = {
  family: 6,
  label: 'IPv6',
  vip: '2001:db8:cafe::10',
  wan: '2001:db8:1::1',
  dmzGw: '2001:db8:3::1',
  lan: 'fd00:10::1',
  lan2: 'fd00:10::2',
  cli: '2001:db8:1::2',
  cli3: '2001:db8:1::3',
  cli66: '2001:db8:1::66',
  crowd: crowd('2001:db8:1::1:', 100),
  dmz: '2001:db8:3::9',
  t10: 'fd00:10::10',
  t20: 'fd00:10::20',
  t31: 'fd00:10::31',
  t50: 'fd00:10::50',
  off: 'fd00:10::60',
  far: 'fd00:9::9',
  narrow: 'fd00:8::9',
  nobody: '2001:db8:cafe::77',
  neighbour: '2001:db8:1::50',
  loopback: '::1',
  half: '2001:db8:1::/122',
  wanNet: '2001:db8:1::/64',
  lanNet: 'fd00:10::/64',
  everybody: '::/0',
  host: 128,
  iptables: 'ip6tables',
};

export const NETS = [IPV4, IPV6] as const;

/** `192.0.2.1:80`, `[2001:db8::1]:80`. */
export const join = (address: string, port: number | string): string =>
  address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;

/** The reverse; a range of ports stays text. @throws Error when it is neither */
export function split(text: string): { readonly address: string; readonly port: string } {
  const [, v6, v4, port = ''] = /^(?:\[([0-9a-f:]+)\]|([^:[\]]*)):([\d-]+)$/.exec(text) ?? [];
  const address = v6 ?? v4;
  if (address === undefined) throw new Error(`not ADDRESS:PORT: ${text}`);
  return { address, port };
}
