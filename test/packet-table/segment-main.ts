// Runs inside a host: sends one TCP segment with the numbers it is given, past this host's own TCP. Argument: the segment as JSON.
// Started as a file of its own, so nothing from beside it is imported; the native calls are those that the agent uses.
import { createRequire } from 'node:module';
import { isIPv6 } from 'node:net';

export interface Segment {
  readonly from: string;
  readonly fromPort: number;
  readonly to: string;
  readonly toPort: number;
  readonly sequence: number;
  readonly acknowledged: number;
}

interface Koffi {
  load(name: string): { func(prototype: string): (...args: unknown[]) => number };
  errno(): number;
}

const koffi = createRequire(new URL('../../apps/agent/package.json', import.meta.url))('koffi') as Koffi;
const segment = JSON.parse(process.argv[2] ?? '{}') as Segment;

function bytesOf(address: string): Buffer {
  if (!isIPv6(address)) return Buffer.from(address.split('.').map(Number));
  const [head = '', tail = ''] = address.split('::');
  const groups = (text: string) => text.split(':').filter(Boolean);
  const zeros = Array(8 - groups(head).length - groups(tail).length).fill('0');
  const all = address.includes('::') ? [...groups(head), ...zeros, ...groups(tail)] : groups(head);
  return Buffer.from(all.map((g) => g.padStart(4, '0')).join(''), 'hex');
}

/** RFC 1071. */
function checksum(...parts: readonly Buffer[]): number {
  const all = Buffer.concat(parts);
  let sum = 0;
  for (let i = 0; i + 1 < all.length; i += 2) sum += all.readUInt16BE(i);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** Header with ACK and PSH, and two bytes of data. */
function tcp(): Buffer {
  const packet = Buffer.alloc(22);
  packet.writeUInt16BE(segment.fromPort, 0);
  packet.writeUInt16BE(segment.toPort, 2);
  packet.writeUInt32BE(segment.sequence >>> 0, 4);
  packet.writeUInt32BE(segment.acknowledged >>> 0, 8);
  packet.writeUInt16BE(0x5018, 12);
  packet.writeUInt16BE(512, 14);
  packet.write('!!', 20);
  const [from, to] = [bytesOf(segment.from), bytesOf(segment.to)];
  const pseudo = from.length === 4 ? Buffer.from([0, 6, 0, packet.length]) : Buffer.from([0, 0, 0, packet.length, 0, 0, 0, 6]);
  packet.writeUInt16BE(checksum(from, to, pseudo, packet), 16);
  return packet;
}

function packet(): Buffer {
  const [from, to, inner] = [bytesOf(segment.from), bytesOf(segment.to), tcp()];
  if (from.length === 16) {
    const header = Buffer.from([0x60, 0, 0, 0, 0, inner.length, 6, 64]);
    return Buffer.concat([header, from, to, inner]);
  }
  // The kernel fills in total length and checksum of an IPv4 header.
  const header = Buffer.from([0x45, 0, 0, 20 + inner.length, 0x12, 0x34, 0x40, 0, 64, 6, 0, 0]);
  return Buffer.concat([header, from, to, inner]);
}

const libc = koffi.load('libc.so.6');
const v6 = isIPv6(segment.to);
const AF = v6 ? 10 : 2;
const [SOCK_RAW, IPPROTO_RAW] = [3, 255];
const fd = libc.func('int socket(int, int, int)')(AF, SOCK_RAW, IPPROTO_RAW);
const to = Buffer.alloc(v6 ? 28 : 16);
to.writeUInt16LE(AF, 0);
bytesOf(segment.to).copy(to, v6 ? 8 : 4);
const data = packet();
const sent = libc.func('intptr sendto(int, void *, size_t, int, void *, uint32_t)')(fd, data, data.length, 0, to, to.length);
if (Number(sent) !== data.length) throw new Error(`the segment was not sent: errno ${koffi.errno()}`);
