import { parseIp } from '@gwctl/shared/domain/ip';
import { describe, expect, it } from 'vitest';
import { HostFactsReader, sshListeners } from './host-facts.js';
import type { WaitingSocket } from './sockets.js';

const ip = (text: string) => {
  const parsed = parseIp(text);
  if (!parsed.ok) throw new Error(parsed.error);
  return parsed.value;
};
const SOCKETS: WaitingSocket[] = [
  { protocol: 'tcp', port: 2222, inode: 1 },
  { protocol: 'tcp', port: 2222, inode: 2 },
  { protocol: 'tcp', address: ip('10.0.0.1'), port: 80, inode: 3 },
  { protocol: 'udp', port: 53, inode: 4 },
  { protocol: 'udp', port: 54, inode: 5 },
];
const OWNERS = new Map([
  [1, { pid: 7, comm: 'sshd' }],
  [2, { pid: 7, comm: 'sshd' }],
  [3, { pid: 9, comm: 'nginx' }],
  [4, { pid: 8, comm: 'unbound' }],
]);

describe('HostFactsReader', () => {
  it('reads sockets with owners, and what no forward may take', async () => {
    const asked: number[][] = [];
    const reader = new HostFactsReader({
      links: async () => ({ addresses: [], interfaces: ['lo'] }),
      sockets: async (protocol) => SOCKETS.filter((s) => s.protocol === protocol),
      owners: {
        find: async (inodes) => {
          asked.push([...inodes]);
          return OWNERS;
        },
      },
    });
    const facts = await reader.read({
      control: [{ address: ip('192.0.2.7'), port: 7443 }],
      ports: { tcp: new Set(), udp: new Set([53]) },
    });
    expect(facts.sockets.map((s) => `${s.protocol} ${s.port} ${s.owner}`)).toEqual([
      'tcp 2222 sshd (pid 7)',
      'tcp 2222 sshd (pid 7)',
      'tcp 80 nginx (pid 9)',
      'udp 53 unbound (pid 8)',
      'udp 54 undefined',
    ]);
    expect(facts.protected.map((p) => [p.kind, p.address?.text, p.port])).toEqual([
      ['ssh', undefined, 2222],
      ['control', '192.0.2.7', 7443],
    ]);
    expect(asked).toEqual([[1, 2, 3, 4]]);
    const tcpOnly = await reader.read({ control: [], ports: { tcp: new Set([80]), udp: new Set() } });
    expect(tcpOnly.sockets.map((s) => s.protocol)).toEqual(['tcp', 'tcp', 'tcp']);
  });
});

it('where no sshd can be seen, what listens on port 22 counts', () => {
  const systemd: WaitingSocket[] = [{ protocol: 'tcp', port: 22, inode: 9 }, ...SOCKETS];
  expect(sshListeners(systemd, new Map()).map((p) => p.port)).toEqual([22]);
  expect(sshListeners(SOCKETS, new Map())).toEqual([]);
});
