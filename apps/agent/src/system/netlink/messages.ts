import type { Family, IpAddress } from '@gwctl/shared/domain/ip';
import { AF_INET, IPPROTO_TCP, IPPROTO_UDP } from '../native/constants.js';
import { addressOf, FAMILY_NUMBERS, listenAddress } from './addresses.js';

/**
 * Netlink messages as the kernel sends them (linux/netlink.h, rtnetlink.h, nfnetlink.h, nf_tables.h). Numbers of the header are in
 * the byte order of the host, which is little-endian on every platform that gwctl runs on.
 */

export const NETLINK_ROUTE = 0;
export const NETLINK_SOCK_DIAG = 4;
export const NETLINK_NETFILTER = 12;
/** The multicast group that announces every change of nftables, and so of iptables-nft. */
export const NFNLGRP_NFTABLES = 7;
export const RTM_NEWLINK = 16;
export const RTM_GETLINK = 18;
export const RTM_NEWADDR = 20;
export const RTM_DELADDR = 21;
export const RTM_GETADDR = 22;
export const SOCK_DIAG_BY_FAMILY = 20;
export const IFF_UP = 1;

const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const HEADER = 16;
const NFNL_SUBSYS_NFTABLES = 10;
const NFT_MSG_NEWGEN = 15;

export interface Message {
  readonly type: number;
  /** The sender's netlink port: the process id that the process sees itself, for its first socket. */
  readonly port: number;
  readonly body: Buffer;
}

/** Splits what one `recv` gave. Stops at a message that claims to be longer than what is there. */
export function splitMessages(data: Buffer): Message[] {
  const messages: Message[] = [];
  let at = 0;
  while (at + HEADER <= data.length) {
    const length = data.readUInt32LE(at);
    if (length < HEADER || at + length > data.length) break;
    messages.push({
      type: data.readUInt16LE(at + 4),
      port: data.readUInt32LE(at + 12),
      body: data.subarray(at + HEADER, at + length),
    });
    at += align(length);
  }
  return messages;
}

/** Whether a dump ends here, and how: the error number of the kernel, 0 for a good end. */
export function endOfDump(messages: readonly Message[]): { readonly errno: number } | undefined {
  for (const { type, body } of messages) {
    if (type === NLMSG_DONE) return { errno: 0 };
    if (type === NLMSG_ERROR) return { errno: body.length >= 4 ? -body.readInt32LE(0) : 0 };
  }
  return undefined;
}

/** A request for all objects of a kind; an empty body asks for every family. */
export function dumpRequest(type: number, body: Buffer = Buffer.alloc(16)): Buffer {
  const request = Buffer.concat([Buffer.alloc(HEADER), body]);
  request.writeUInt32LE(request.length, 0);
  request.writeUInt16LE(type, 4);
  // NLM_F_REQUEST | NLM_F_DUMP
  request.writeUInt16LE(0x301, 6);
  request.writeUInt32LE(1, 8);
  return request;
}

/** Attributes by type; of those that come twice the last one counts. */
export function attributes(data: Buffer): ReadonlyMap<number, Buffer> {
  const found = new Map<number, Buffer>();
  let at = 0;
  while (at + 4 <= data.length) {
    const length = data.readUInt16LE(at);
    if (length < 4 || at + length > data.length) break;
    // The two top bits are flags: nested, network byte order.
    found.set(data.readUInt16LE(at + 2) & 0x3fff, data.subarray(at + 4, at + length));
    at += align(length);
  }
  return found;
}

/** A committed change of nftables. */
export interface Generation {
  readonly id: number;
  /** The netlink port of who committed it. */
  readonly port: number;
  /** Its process id as the host sees it. */
  readonly pid: number;
  /** Its name, at most 15 characters. */
  readonly process: string;
}

/** The NFT_MSG_NEWGEN among these messages. Big-endian numbers: netfilter's own attributes are in network byte order. */
export function generations(messages: readonly Message[]): Generation[] {
  return messages.flatMap(({ type, port, body }) => {
    if (type >> 8 !== NFNL_SUBSYS_NFTABLES || (type & 0xff) !== NFT_MSG_NEWGEN || body.length < 4) return [];
    const found = attributes(body.subarray(4));
    const [id, pid, name] = [found.get(1), found.get(2), found.get(3)];
    if (id?.length !== 4) return [];
    return [
      { id: id.readUInt32BE(0), port, pid: pid?.length === 4 ? pid.readUInt32BE(0) : 0, process: name ? zeroEnded(name) : '' },
    ];
  });
}

export interface AddressEntry {
  readonly link: number;
  readonly address: IpAddress;
  readonly prefix: number;
}

/** The addresses among RTM_NEWADDR messages. */
export function addresses(messages: readonly Message[]): AddressEntry[] {
  return messages.flatMap(({ type, body }) => {
    if (type !== RTM_NEWADDR || body.length < 8) return [];
    const found = attributes(body.subarray(8));
    // On a point-to-point link IFA_ADDRESS (1) is the peer's and IFA_LOCAL (2) ours; IPv6 may have only the first.
    const address = addressOf(found.get(2) ?? found.get(1));
    return address ? [{ link: body.readUInt32LE(4), address, prefix: body.readUInt8(1) }] : [];
  });
}

/** Interface names by index, of RTM_NEWLINK messages. */
export function links(messages: readonly Message[]): ReadonlyMap<number, string> {
  const found = new Map<number, string>();
  for (const { type, body } of messages) {
    if (type !== RTM_NEWLINK || body.length < 16) continue;
    const name = attributes(body.subarray(16)).get(3);
    if (name) found.set(body.readInt32LE(4), zeroEnded(name));
  }
  return found;
}

/** Body of a request for the sockets of one family and protocol that are in one of `states` (a bit each): inet_diag_req_v2. */
export function socketsRequest(options: {
  readonly family: Family;
  readonly protocol: 'tcp' | 'udp';
  readonly states: number;
}): Buffer {
  const body = Buffer.alloc(56);
  body.writeUInt8(FAMILY_NUMBERS[options.family], 0);
  body.writeUInt8(options.protocol === 'tcp' ? IPPROTO_TCP : IPPROTO_UDP, 1);
  body.writeUInt32LE(options.states, 4);
  return body;
}

export interface SocketEntry {
  /** `any` for the wildcard address. */
  readonly address: IpAddress | 'any';
  readonly port: number;
  readonly inode: number;
}

/** The sockets among the answers: inet_diag_msg. */
export function sockets(messages: readonly Message[]): SocketEntry[] {
  return messages.flatMap(({ type, body }) => {
    if (type !== SOCK_DIAG_BY_FAMILY || body.length < 72) return [];
    const address = listenAddress(body.subarray(8, body.readUInt8(0) === AF_INET ? 12 : 24));
    return address === undefined ? [] : [{ address, port: body.readUInt16BE(4), inode: body.readUInt32LE(68) }];
  });
}

const align = (length: number) => (length + 3) & ~3;

/** Text that ends with its first zero byte, or with the data. */
export function zeroEnded(data: Buffer): string {
  const end = data.indexOf(0);
  return data.toString('utf8', 0, end < 0 ? data.length : end);
}
