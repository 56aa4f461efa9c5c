import { addressBytes, addressText, isMapped } from '@gwctl/shared/domain/ip-bytes';

/** One side of the client's connection. */
export interface Peer {
  /** In text, IPv4 mapped into IPv6 included. */
  readonly address: string;
  readonly port: number;
}

/** What the target is to learn: who connected, and to what. Undefined: a connection of the relay's own, behind which no client stands. */
export interface ProxiedConnection {
  readonly transport: 'tcp' | 'udp';
  readonly client: Peer;
  readonly listener: Peer;
}

/** The longest line of version 1, its end included. */
export const V1_MAX = 107;

const SIGNATURE = Buffer.from([0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a]);
/** Upper half of the 13th byte: the version; lower: LOCAL or PROXY. */
const VERSION_2 = 0x20;
const LOCAL = 0x0;
const PROXY = 0x1;
/** Upper half of the 14th byte: the family; lower: the transport. */
const INET = 0x10;
const INET6 = 0x20;
const STREAM = 0x1;
const DGRAM = 0x2;

/**
 * What goes to the target before anything else (The PROXY protocol, versions 1 and 2, haproxy.org 2020, sections 2.1 and 2.2). Where
 * client and listener are of different families, both are written as IPv6. Version 1 knows TCP only: UDP is said to be UNKNOWN there.
 */
export function proxyHeader(version: 'v1' | 'v2', connection: ProxiedConnection | undefined): Buffer {
  return version === 'v1' ? proxyHeaderV1(connection) : proxyHeaderV2(connection);
}

export function proxyHeaderV1(connection: ProxiedConnection | undefined): Buffer {
  if (connection?.transport !== 'tcp') return Buffer.from('PROXY UNKNOWN\r\n', 'latin1');
  const { client, listener } = connection;
  const { from, to } = sameFamily(client.address, listener.address);
  const family = from.length === 4 ? 'TCP4' : 'TCP6';
  const line = `PROXY ${family} ${textV1(from)} ${textV1(to)} ${client.port} ${listener.port}\r\n`;
  return Buffer.from(line, 'latin1');
}

export function proxyHeaderV2(connection: ProxiedConnection | undefined): Buffer {
  if (!connection) return Buffer.concat([SIGNATURE, Buffer.from([VERSION_2 | LOCAL, 0, 0, 0])]);
  const { transport, client, listener } = connection;
  const { from, to } = sameFamily(client.address, listener.address);
  const length = 2 * from.length + 4;
  const header = Buffer.alloc(16 + length);
  SIGNATURE.copy(header);
  header[12] = VERSION_2 | PROXY;
  header[13] = (from.length === 4 ? INET : INET6) | (transport === 'tcp' ? STREAM : DGRAM);
  header.writeUInt16BE(length, 14);
  header.set(from, 16);
  header.set(to, 16 + from.length);
  header.writeUInt16BE(client.port, 16 + 2 * from.length);
  header.writeUInt16BE(listener.port, 18 + 2 * from.length);
  return header;
}

/** One header says one family, so an IPv4 address beside an IPv6 one is mapped (RFC 4291 section 2.5.5.2). */
function sameFamily(client: string, listener: string): { readonly from: Uint8Array; readonly to: Uint8Array } {
  const from = addressBytes(client);
  const to = addressBytes(listener);
  return from.length === to.length ? { from, to } : { from: mapped(from), to: mapped(to) };
}

function mapped(bytes: Uint8Array): Uint8Array {
  if (bytes.length === 16) return bytes;
  const wide = new Uint8Array(16);
  wide.fill(0xff, 10, 12);
  wide.set(bytes, 12);
  return wide;
}

/** `::ffff:a.b.c.d` is among the forms that the specification allows; receivers read it with inet_pton. */
const textV1 = (bytes: Uint8Array): string =>
  bytes.length === 16 && isMapped(bytes) ? `::ffff:${addressText(bytes)}` : addressText(bytes);
