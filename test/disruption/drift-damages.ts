/** What somebody else may do to a gateway's rules, as they would: with nft, iptables, ufw, sysctl and ip. */
import type { World } from '../e2e/world.js';
import type { Host } from '../lab/index.js';

export type DriftDriver = 'nftables' | 'iptables-nft' | 'iptables-legacy';

export interface Damage {
  readonly what: string;
  /** Where it can be done. */
  readonly drivers: readonly DriftDriver[];
  /** The forward whose events tell of it. */
  readonly forward: 'ssh' | 'virtual';
  /** Undefined where nothing of ours need be harmed by it. */
  readonly cause: string | undefined;
  /**
   * Whether the kernel announces it: then it is repaired within 2 s, and otherwise within 30 s. iptables-legacy announces no change of a
   * rule, and nobody a change of a kernel parameter.
   */
  readonly announced: boolean;
  readonly harm: (world: World) => Promise<void>;
  /** Takes away what is not ours, or puts back what was not. */
  readonly undo?: (world: World) => Promise<void>;
  /** Others' rules are no longer what they were. */
  readonly harmsOthers?: boolean;
  /** They are gone, and with them what our rule in their chain was there for. */
  readonly endsOthers?: boolean;
}

export const LISTENER = '192.168.1.10:10022';
export const TARGET = '192.168.2.122:10022';
/** Nobody's address in the clients' network. */
export const VIRTUAL = '192.168.1.77';

const gw = (world: World): Host => world.lab.host('gw1');
const nft = (world: World, text: string) => gw(world).exec(['nft', '-f', '-'], { stdin: text });
const listing = async (world: World, ...options: string[]) =>
  (await gw(world).exec(['nft', ...options, 'list', 'table', 'ip', 'gwctl'])).stdout;

/** The element of a map that sends the listener's flows on: `to-at { 192.168.1.10 . tcp . 10022 }`. */
async function elementOfMap(world: World): Promise<string> {
  const [address, port] = LISTENER.split(':');
  for (const [, name = '', body = ''] of (await listing(world)).matchAll(/\tmap (\S+) \{([\s\S]*?)\n\t\}/g)) {
    const elements = /elements = \{([\s\S]*)\}/.exec(body)?.[1] ?? '';
    const found = elements
      .split(',')
      .map((e) => e.trim())
      .find((e) => e.startsWith(`${address} . `) && e.includes(` ${port}`) && e.includes(TARGET.split(':')[0] ?? ''));
    const key = found?.split(/ (?:counter|comment|expires|timeout|:) /)[0];
    if (key) return `${name} { ${key} }`;
  }
  throw new Error('no map of ours holds the listener');
}

/** A rule of ours that translates, as `chain handle number`. */
async function ruleThatTranslates(world: World): Promise<string> {
  let chain = '';
  for (const line of (await listing(world, '-a')).split('\n')) {
    chain = /^\tchain (\S+) \{/.exec(line)?.[1] ?? chain;
    const handle = /dnat .*map @.* # handle (\d+)$/.exec(line)?.[1];
    if (handle) return `${chain} handle ${handle}`;
  }
  throw new Error('no rule of ours translates');
}

const IPTABLES = ['iptables-nft', 'iptables-legacy'] as const;
const ALL = ['nftables', ...IPTABLES] as const;
const onSsh = { forward: 'ssh', announced: true } as const;

export const DAMAGES: readonly Damage[] = [
  {
    ...onSsh,
    what: 'nft flush ruleset',
    drivers: ['nftables', 'iptables-nft'],
    cause: 'missing',
    harm: async (w) => void (await gw(w).exec(['nft', 'flush', 'ruleset'])),
    undo: async (w) => void (await gw(w).exec(['ufw', 'reload'])),
    harmsOthers: true,
    endsOthers: true,
  },
  {
    ...onSsh,
    what: 'our table deleted',
    drivers: ['nftables'],
    cause: 'missing',
    harm: async (w) => void (await nft(w, 'delete table ip gwctl')),
  },
  {
    ...onSsh,
    what: 'an element of a map deleted',
    drivers: ['nftables'],
    cause: 'missing',
    harm: async (w) => void (await nft(w, `delete element ip gwctl ${await elementOfMap(w)}`)),
  },
  {
    ...onSsh,
    what: 'a rule of ours edited',
    drivers: ['nftables'],
    cause: 'altered',
    harm: async (w) => void (await nft(w, `replace rule ip gwctl ${await ruleThatTranslates(w)} counter`)),
  },
  {
    ...onSsh,
    what: 'a foreign drop chain put into our table',
    drivers: ['nftables'],
    cause: 'foreign',
    harm: async (w) => void (await nft(w, 'add chain ip gwctl evil { type filter hook forward priority 7; policy drop; }')),
  },
  {
    ...onSsh,
    what: 'our table set dormant',
    drivers: ['nftables'],
    cause: 'altered',
    harm: async (w) => void (await nft(w, 'add table ip gwctl { flags dormant; }')),
  },
  {
    ...onSsh,
    what: 'iptables -F FORWARD',
    drivers: ALL,
    cause: 'missing',
    harm: (w) => w.rules.run(['-F', 'FORWARD']),
    harmsOthers: true,
  },
  {
    ...onSsh,
    what: 'iptables -t nat -F',
    drivers: IPTABLES,
    cause: 'missing',
    harm: (w) => w.rules.run(['-t', 'nat', '-F']),
  },
  {
    ...onSsh,
    what: 'our nat chains flushed',
    drivers: IPTABLES,
    cause: 'missing',
    harm: async (w) => {
      for (const chain of await w.rules.chains('nat')) await w.rules.run(['-t', 'nat', '-F', chain]);
    },
  },
  {
    ...onSsh,
    what: 'our hook deleted',
    drivers: IPTABLES,
    cause: 'missing',
    harm: async (w) => w.rules.run(await w.rules.deletionOfHook('nat', 'PREROUTING')),
  },
  {
    ...onSsh,
    what: 'a rule of ours edited',
    drivers: IPTABLES,
    cause: 'altered',
    harm: async (w) => w.rules.run(await w.rules.edit(TARGET, '192.168.2.122:10023')),
  },
  {
    ...onSsh,
    what: 'our hook pushed below a REJECT',
    drivers: ALL,
    cause: 'shadowed',
    harm: (w) => w.rules.run(['-I', 'FORWARD', '1', '-j', 'REJECT']),
    undo: (w) => w.rules.run(['-D', 'FORWARD', '-j', 'REJECT']),
  },
  {
    ...onSsh,
    what: 'ufw reload',
    drivers: ['nftables', 'iptables-nft'],
    cause: undefined,
    harm: async (w) => void (await gw(w).exec(['ufw', 'reload'])),
  },
  {
    ...onSsh,
    what: 'forwarding turned off',
    drivers: ALL,
    cause: 'sysctl',
    announced: false,
    harm: (w) => gw(w).sysctl({ 'net.ipv4.ip_forward': 0 }),
  },
  {
    what: 'the announced address removed',
    drivers: ALL,
    forward: 'virtual',
    cause: 'missing',
    announced: true,
    harm: async (w) => {
      const line = (await gw(w).ip('-o addr show')).split('\n').find((l) => l.includes(` ${VIRTUAL}/`));
      const [, dev = '', address = ''] = /^\d+: (\S+)\s+inet (\S+)/.exec(line ?? '') ?? [];
      await gw(w).ip(`addr del ${address} dev ${dev}`);
    },
  },
];

/**
 * All that belongs to gwctl on the gateway and its place among others' rules, as text that is equal when it is: elements of sets come in
 * any order. `companion`: the rule
 * of ours that lets our flows pass another tool's filter, which is there for as long as that filter drops.
 */
export async function allOfOurs(world: World, options: { readonly companion: boolean } = { companion: true }): Promise<string> {
  const host = gw(world);
  const [tables, rules, filters, addresses, forwarding] = await Promise.all([
    host.exec(['nft', '--stateless', 'list', 'ruleset'], { allowFailure: true }),
    world.rules.own(),
    world.rules.all('filter'),
    host.ip('-o addr show'),
    host.readSysctl('net.ipv4.ip_forward'),
  ]);
  const ours = [...tables.stdout.matchAll(/^table ip6? gwctl \{[\s\S]*?^\}/gm)].map(([text]) =>
    text
      .split(/[\s,]+/)
      .sort()
      .join(' '),
  );
  const place = filters.filter((line) => line.startsWith('-A FORWARD')).findIndex((line) => /gwctl/i.test(line));
  const virtual = addresses.includes(` ${VIRTUAL}/`);
  // Which of two listeners comes first in a chain is nobody's promise; that packets find their way is asked for in packets.
  const kept = rules
    .split('\n')
    .filter((line) => line !== '' && (options.companion || !line.includes('gwctl:companion')))
    .sort();
  return JSON.stringify({ ours, rules: kept, place: options.companion ? place : undefined, virtual, forwarding });
}
