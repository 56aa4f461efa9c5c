import type { Host } from '../lab/index.js';
import type { TableDriver } from './topology.js';

/** Rules in nat, with our place in front of them once we come. */
const NAT = [
  '-A PREROUTING -m addrtype --dst-type LOCAL -j other-nat',
  '-A OUTPUT -d 203.0.113.99 -j DNAT --to-destination 10.0.0.50',
  '-A POSTROUTING -s 10.0.0.50 -o dmz -j MASQUERADE',
  '-A other-nat -p tcp --dport 7777 -j DNAT --to-destination 10.0.0.50:9999',
];

const FILTER = [
  '-A FORWARD -j other-forward',
  '-A other-forward -d 10.0.0.50 -j ACCEPT',
  '-A other-forward -s 10.0.0.50 -j ACCEPT',
  '-A other-forward -p icmp -j ACCEPT',
];

const table = (name: string, lines: readonly string[]) => [`*${name}`, ...lines, 'COMMIT', ''].join('\n');

/** Rules of another tool in the gateway, which drops by default: only what has to do with 10.0.0.50 is forwarded. */
export async function dropByDefault(gateway: Host, driver: TableDriver): Promise<void> {
  const builtIn = (...chains: string[]) => chains.map((c) => `:${c} ACCEPT [0:0]`);
  const rules = [
    table('filter', [':FORWARD DROP [0:0]', ':other-forward - [0:0]', ...FILTER]),
    table('mangle', builtIn('PREROUTING', 'OUTPUT')),
    table('nat', [...builtIn('PREROUTING', 'OUTPUT', 'POSTROUTING'), ':other-nat - [0:0]', ...NAT]),
  ];
  await gateway.exec([`${otherTool(driver)}-restore`, '--noflush'], { stdin: rules.join('') });
}

/** Puts the other tool's rules in nat back after somebody flushed that table. */
export async function natAgain(gateway: Host, driver: TableDriver): Promise<void> {
  await gateway.exec([`${otherTool(driver)}-restore`, '--noflush'], { stdin: table('nat', NAT) });
}

/** What the other tool uses: the same variant, and beside nftables the one that shares its kernel part. */
const otherTool = (driver: TableDriver) => (driver === 'nftables' ? 'iptables-nft' : driver);
