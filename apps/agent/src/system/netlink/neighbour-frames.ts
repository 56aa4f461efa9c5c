import type { IpAddress } from '@gwctl/shared/domain/ip';
import { addressBytes } from '@gwctl/shared/domain/ip-bytes';

/** What tells the neighbours whose an address is now: Ethernet frames, to everybody. */

const BROADCAST = Buffer.alloc(6, 0xff);
/** The group ff02::1 as an Ethernet address (RFC 2464, section 7). */
const ALL_NODES_MAC = Buffer.from('333300000001', 'hex');
const ALL_NODES = Buffer.from('ff020000000000000000000000000001', 'hex');

export function announcementFrame(mac: Buffer, { family, text }: IpAddress): Buffer {
  const bytes = addressBytes(text);
  return family === 4 ? arpAnnouncement(mac, bytes) : neighbourAdvertisement(mac, bytes);
}

/** RFC 5227, section 2.3: a request for the address by itself. Short frames are padded by the driver. */
function arpAnnouncement(mac: Buffer, address: Uint8Array): Buffer {
  // Ethernet, IPv4, lengths 6 and 4, request.
  const fixed = Buffer.from('0001080006040001', 'hex');
  return Buffer.concat([ethernet(BROADCAST, mac, 0x0806), fixed, mac, address, Buffer.alloc(6), address]);
}

/** RFC 4861, section 7.2.6: unsolicited, to all nodes, taking the place of what they know. From a router, which every gateway is. */
function neighbourAdvertisement(mac: Buffer, address: Uint8Array): Buffer {
  const message = Buffer.alloc(32);
  message.writeUInt8(136, 0);
  // Flags: router, override.
  message.writeUInt8(0xa0, 4);
  message.set(address, 8);
  // Option: target link-layer address, one unit of 8 bytes.
  message.writeUInt8(2, 24);
  message.writeUInt8(1, 25);
  mac.copy(message, 26);
  message.writeUInt16BE(checksum(address, message), 2);
  const header = Buffer.alloc(8);
  header.writeUInt8(0x60, 0);
  header.writeUInt16BE(message.length, 4);
  header.writeUInt8(58, 6);
  // RFC 4861, section 7.1.2: anything less came from elsewhere and is dropped.
  header.writeUInt8(255, 7);
  return Buffer.concat([ethernet(ALL_NODES_MAC, mac, 0x86dd), header, address, ALL_NODES, message]);
}

function ethernet(to: Buffer, from: Buffer, type: number): Buffer {
  const protocol = Buffer.alloc(2);
  protocol.writeUInt16BE(type);
  return Buffer.concat([to, from, protocol]);
}

/** RFC 4443, section 2.3: over the message and a header of source, destination, length and protocol. */
function checksum(source: Uint8Array, message: Buffer): number {
  const pseudo = Buffer.alloc(8);
  pseudo.writeUInt32BE(message.length, 0);
  pseudo.writeUInt8(58, 7);
  const all = Buffer.concat([source, ALL_NODES, pseudo, message]);
  let sum = 0;
  for (let at = 0; at < all.length; at += 2) sum += all.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
