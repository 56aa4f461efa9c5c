import type { Host } from '../lab/index.js';
import { IPV4, NETS, type Net } from './net.js';
import type { TableDriver } from './topology.js';

/** Rules in nat, with our place in front of them once we come. */
const nat = (net: Net) => [
  '-A PREROUTING -m addrtype --dst-type LOCAL -j other-nat',
  `-A OUTPUT -d ${net.family === 4 ? '203.0.113.99' : '2001:db8:cafe::99'} -j DNAT --to-destination ${net.t50}`,
  `-A POSTROUTING -s ${net.t50} -o dmz -j MASQUERADE`,
  `-A other-nat -p tcp --dport 7777 -j DNAT --to-destination ${net.family === 4 ? net.t50 : `[${net.t50}]`}:9999`,
];

const filter = (net: Net) => [
  '-A FORWARD -j other-forward',
  `-A other-forward -d ${net.t50} -j ACCEPT`,
  `-A other-forward -s ${net.t50} -j ACCEPT`,
];

const table = (name: string, lines: readonly string[]) => [`*${name}`, ...lines, 'COMMIT', ''].join('\n');

/** Rules of another tool in the gateway, of both families, which drops by default: only what has to do with .50 is forwarded. */
export async function dropByDefault(gateway: Host, driver: TableDriver): Promise<void> {
  const builtIn = (...chains: string[]) => chains.map((c) => `:${c} ACCEPT [0:0]`);
  for (const net of NETS) {
    const rules = [
      table('filter', [':FORWARD DROP [0:0]', ':other-forward - [0:0]', ...filter(net)]),
      table('mangle', builtIn('PREROUTING', 'OUTPUT')),
      table('nat', [...builtIn('PREROUTING', 'OUTPUT', 'POSTROUTING'), ':other-nat - [0:0]', ...nat(net)]),
    ];
    await gateway.exec([`${otherTool(driver, net)}-restore`, '--noflush'], { stdin: rules.join('') });
  }
}

/** Drops by default what comes to the gateway itself, as ufw does: but for what belongs to something, and these ports of TCP. */
export async function dropInput(gateway: Host, driver: TableDriver, ports: readonly number[]): Promise<void> {
  for (const net of NETS) {
    const lines = [
      ':INPUT DROP [0:0]',
      '-A INPUT -i lo -j ACCEPT',
      '-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
      `-A INPUT -p ${net.family === 4 ? 'icmp' : 'ipv6-icmp'} -j ACCEPT`,
      ...ports.map((port) => `-A INPUT -p tcp -m tcp --dport ${port} -j ACCEPT`),
    ];
    await gateway.exec([`${otherTool(driver, net)}-restore`, '--noflush'], { stdin: table('filter', lines) });
  }
}

/** Puts the other tool's IPv4 rules in nat back after somebody flushed that table. */
export async function natAgain(gateway: Host, driver: TableDriver): Promise<void> {
  await gateway.exec([`${otherTool(driver, IPV4)}-restore`, '--noflush'], { stdin: table('nat', nat(IPV4)) });
}

/** What the other tool uses: the same variant, and beside nftables the one that shares its kernel part. */
const otherTool = (driver: TableDriver, net: Net) => `${net.iptables}-${driver === 'iptables-legacy' ? 'legacy' : 'nft'}`;
