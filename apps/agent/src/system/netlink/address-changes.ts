import type { Family, IpAddress } from '@gwctl/shared/domain/ip';
import { addressBytes } from '@gwctl/shared/domain/ip-bytes';
import { addressOf, FAMILY_NUMBERS } from './addresses.js';
import { attribute, byte, hostEndian32, NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, request } from './attributes.js';
import { dump } from './dump.js';
import type { Libc } from './libc.js';
import {
  attributes,
  IFF_UP,
  NETLINK_ROUTE,
  RTM_DELADDR,
  RTM_GETADDR,
  RTM_GETLINK,
  RTM_NEWADDR,
  RTM_NEWLINK,
  zeroEnded,
} from './messages.js';

/** Addresses as rtnetlink has them (linux/if_addr.h). */
const [IFA_ADDRESS, IFA_LOCAL, IFA_LABEL, IFA_CACHEINFO, IFA_FLAGS, IFA_PROTO] = [1, 2, 3, 6, 8, 11];
const IFA_F_NODAD = 0x02;
const IFA_F_NOPREFIXROUTE = 0x200;
const RT_SCOPE_HOST = 254;
const FOREVER = 0xffffffff;
/** Who made an address, since Linux 5.18: a number of our own, beyond those that the kernel gives. */
const MADE_BY_GWCTL = 0x67;
const LABEL_SUFFIX = ':gwctl';
/** IFNAMSIZ, with the zero at its end. */
const LABEL_BYTES = 16;

export interface LinkEntry {
  readonly index: number;
  readonly name: string;
  readonly up: boolean;
  /** Its Ethernet address; undefined for what is no Ethernet. */
  readonly mac?: Buffer;
}

export interface MarkedAddress {
  readonly link: number;
  readonly address: IpAddress;
  readonly prefix: number;
  /** Carries our mark, as label or as who made it. Without, it may still be ours: a kernel may know neither. */
  readonly marked: boolean;
}

export function listLinks(libc: Libc): LinkEntry[] {
  return dump(libc, NETLINK_ROUTE, RTM_GETLINK).flatMap(({ type, body }) => {
    if (type !== RTM_NEWLINK || body.length < 16) return [];
    const found = attributes(body.subarray(16));
    const name = found.get(3);
    if (!name) return [];
    const mac = found.get(1);
    // ARPHRD_ETHER
    const ethernet = body.readUInt16LE(2) === 1 && mac?.length === 6;
    return [
      {
        index: body.readInt32LE(4),
        name: zeroEnded(name),
        up: (body.readUInt32LE(8) & IFF_UP) !== 0,
        ...(ethernet ? { mac } : {}),
      },
    ];
  });
}

export function listAddresses(libc: Libc): MarkedAddress[] {
  return dump(libc, NETLINK_ROUTE, RTM_GETADDR).flatMap(({ type, body }) => {
    if (type !== RTM_NEWADDR || body.length < 8) return [];
    const found = attributes(body.subarray(8));
    const address = addressOf(found.get(IFA_LOCAL) ?? found.get(IFA_ADDRESS));
    if (!address) return [];
    const label = found.get(IFA_LABEL);
    const marked =
      found.get(IFA_PROTO)?.[0] === MADE_BY_GWCTL || (label !== undefined && zeroEnded(label).endsWith(LABEL_SUFFIX));
    return [{ link: body.readUInt32LE(4), address, prefix: body.readUInt8(1), marked }];
  });
}

/**
 * An address of its own, without a network and never chosen as a source: for IPv4 by its scope, which every kernel minds when it
 * chooses one; for IPv6 by being deprecated from the start (RFC 6724, rule 3). No duplicate address detection: it may be somebody's
 * from whom it is taken over, and is needed at once.
 */
export function addRequest(link: Pick<LinkEntry, 'index' | 'name'>, { family, text }: IpAddress): Buffer {
  const bytes = addressBytes(text);
  return request(
    RTM_NEWADDR,
    NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
    header(family, link.index, family === 4 ? RT_SCOPE_HOST : 0),
    attribute(IFA_LOCAL, bytes),
    attribute(IFA_ADDRESS, bytes),
    ...(isMarkable(family, link.name) ? [attribute(IFA_LABEL, Buffer.from(`${link.name}${LABEL_SUFFIX}\0`))] : []),
    ...(family === 6 ? [attribute(IFA_CACHEINFO, lifetimes(0, FOREVER))] : []),
    hostEndian32(IFA_FLAGS, IFA_F_NOPREFIXROUTE | (family === 6 ? IFA_F_NODAD : 0)),
    byte(IFA_PROTO, MADE_BY_GWCTL),
  );
}

/** Whether every kernel shows our mark on an address: only IPv4 has labels, and only short ones. */
export const isMarkable = (family: Family, link: string): boolean =>
  family === 4 && Buffer.byteLength(`${link}${LABEL_SUFFIX}`) < LABEL_BYTES;

export function removeRequest(link: number, { family, text }: IpAddress): Buffer {
  const bytes = addressBytes(text);
  const local = attribute(IFA_LOCAL, bytes);
  return request(RTM_DELADDR, NLM_F_ACK, header(family, link, 0), local, attribute(IFA_ADDRESS, bytes));
}

/** ifaddrmsg: of one address, so with the whole length as prefix. */
function header(family: Family, link: number, scope: number): Buffer {
  const message = Buffer.alloc(8);
  message.writeUInt8(FAMILY_NUMBERS[family], 0);
  message.writeUInt8(family === 4 ? 32 : 128, 1);
  message.writeUInt8(scope, 3);
  message.writeUInt32LE(link, 4);
  return message;
}

/** ifa_cacheinfo, in seconds. */
function lifetimes(preferred: number, valid: number): Buffer {
  const data = Buffer.alloc(16);
  data.writeUInt32LE(preferred, 0);
  data.writeUInt32LE(valid, 4);
  return data;
}
