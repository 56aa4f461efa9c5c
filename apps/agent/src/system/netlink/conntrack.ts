import type { Family } from '@gwctl/shared/domain/ip';
import { addressBytes } from '@gwctl/shared/domain/ip-bytes';
import { protocolNumber, protocolOf } from '../flow-text.js';
import type { Flow, FlowHandle, FlowMatch, Tuple } from '../flows.js';
import { portsOf } from '../flows.js';
import { FAMILY_NUMBERS, familyOf, textOf } from './addresses.js';
import { attribute, bigEndian16, bigEndian32, byte, hostEndian32, NLM_F_ACK, NLM_F_DUMP, nested, request } from './attributes.js';
import type { Message } from './messages.js';

/** The conntrack part of nfnetlink (linux/netfilter/nfnetlink_conntrack.h). */
const SUBSYSTEM = 1 << 8;
const NEW = SUBSYSTEM | 0;
const GET = SUBSYSTEM | 1;
const DELETE = SUBSYSTEM | 2;
const STATISTICS = SUBSYSTEM | 4;
const [CTA_STATS_INSERT_FAILED, CTA_STATS_DROP] = [9, 10];
const [CTA_TUPLE_ORIG, CTA_TUPLE_REPLY, CTA_PROTOINFO, CTA_MARK, CTA_ID] = [1, 2, 4, 8, 12];
const [CTA_ZONE, CTA_MARK_MASK, CTA_FILTER] = [18, 21, 25];
const [CTA_TUPLE_IP, CTA_TUPLE_PROTO] = [1, 2];
const [CTA_IP_V4_DST, CTA_IP_V6_DST] = [2, 4];
const [CTA_PROTO_NUM, CTA_PROTO_SRC_PORT, CTA_PROTO_DST_PORT] = [1, 2, 3];
/** Of CTA_FILTER_ORIG_FLAGS, since Linux 5.9. */
const FILTER = { destination: 1 << 1, protocol: 1 << 3, destinationPort: 1 << 5 };
/** include/uapi/linux/netfilter/nf_conntrack_tcp.h, in order. */
const TCP_STATES = [
  'NONE',
  'SYN_SENT',
  'SYN_RECV',
  'ESTABLISHED',
  'FIN_WAIT',
  'CLOSE_WAIT',
  'LAST_ACK',
  'TIME_WAIT',
  'CLOSE',
  'SYN_SENT2',
];

const header = (family: Family) => Buffer.from([FAMILY_NUMBERS[family], 0, 0, 0]);

/** Asks for all flows of a family; with `bit` only for those whose mark has it. */
export function flowsRequest(family: Family, bit?: number): Buffer {
  const marked = bit === undefined ? [] : [bigEndian32(CTA_MARK, bit), bigEndian32(CTA_MARK_MASK, bit)];
  return request(GET, NLM_F_DUMP, header(family), ...marked);
}

/**
 * Asks for the flows to one listener; undefined where nothing narrows it down. The kernel filters since 5.9: an older one ignores that
 * and lists everything, so whoever asks filters again. Not by addresses of IPv6: of those, ctnetlink_filter_match_tuple() leaves out
 * exactly the ones that were asked for (seen with 6.18).
 */
export function narrowRequest(match: FlowMatch): Buffer | undefined {
  const family = match.family ?? 4;
  const ports = portsOf(match);
  const port = match.protocol !== 'any' && ports && ports.first === ports.last ? ports.first : undefined;
  const address = family === 4 ? match.address : undefined;
  if (address === undefined && port === undefined) return undefined;
  let flags = 0;
  const tuple: Buffer[] = [];
  if (address !== undefined) {
    flags |= FILTER.destination;
    tuple.push(nested(CTA_TUPLE_IP, attribute(CTA_IP_V4_DST, addressBytes(address))));
  }
  if (match.protocol !== 'any') {
    flags |= FILTER.protocol | (port === undefined ? 0 : FILTER.destinationPort);
    const destination = port === undefined ? [] : [bigEndian16(CTA_PROTO_DST_PORT, port)];
    tuple.push(nested(CTA_TUPLE_PROTO, byte(CTA_PROTO_NUM, protocolNumber(match.protocol)), ...destination));
  }
  const filter = nested(CTA_FILTER, hostEndian32(1, flags));
  return request(GET, NLM_F_DUMP, header(family), nested(CTA_TUPLE_ORIG, ...tuple), filter);
}

/** Asks to remove exactly this flow: a new one of the same addresses and ports has another id. */
export function deleteRequest(family: Family, { tuple, id, zone }: FlowHandle): Buffer {
  // Without a tuple the kernel would take it for a request to remove every flow of the host.
  if (tuple.length === 0) throw new Error('a flow without its original tuple cannot be removed by itself');
  const zoned = zone === undefined ? [] : [bigEndian16(CTA_ZONE, zone)];
  return request(DELETE, NLM_F_ACK, header(family), nested(CTA_TUPLE_ORIG, tuple), bigEndian32(CTA_ID, id), ...zoned);
}

/** Asks for the counters of each processor. */
export function statisticsRequest(): Buffer {
  return request(STATISTICS, NLM_F_DUMP, Buffer.alloc(4));
}

/** Flows that the kernel could not remember, so that their packets were dropped, since it started; the sum of these answers. */
export function refusedFlows(messages: readonly Message[]): number {
  let sum = 0;
  for (const { type, body } of messages) {
    if (type !== STATISTICS || body.length < 4) continue;
    for (const counter of [CTA_STATS_INSERT_FAILED, CTA_STATS_DROP])
      sum += number32(body, find(body, 4, body.length, counter)) ?? 0;
  }
  return sum;
}

/** What is needed of a flow to see whether anybody asks for it. */
export interface ListedFlow {
  readonly family: Family;
  readonly protocol: Flow['protocol'];
  readonly destination: string;
  readonly destinationPort: number;
  /** All of it; undefined where the kernel left something out. */
  flow(): Flow | undefined;
}

/** Takes flows apart, no further than it must: most of a long table are nobody's business. */
export class FlowReader {
  readonly #texts = new Map<string, string>();

  /** A flow among the answers; undefined for any other message. */
  read({ type, body }: Message): ListedFlow | undefined {
    if (type !== NEW || body.length < 4) return undefined;
    const family = familyOf(body[0]);
    const at = find(body, 4, body.length, CTA_TUPLE_ORIG);
    const original = at && this.#tuple(body, at);
    if (family === undefined || !original) return undefined;
    const { protocol, destination, destinationPort } = original;
    return { family, protocol, destination, destinationPort, flow: () => this.#flow(family, body, original, at) };
  }

  #flow(family: Family, body: Buffer, original: ReadTuple, at: Span): Flow | undefined {
    const replyAt = find(body, 4, body.length, CTA_TUPLE_REPLY);
    const reply = replyAt && this.#tuple(body, replyAt);
    const id = number32(body, find(body, 4, body.length, CTA_ID));
    if (!reply || id === undefined) return undefined;
    const zone = find(body, 4, body.length, CTA_ZONE);
    const state = stateOf(body);
    return {
      ...(family === 6 ? { family } : {}),
      protocol: original.protocol,
      ...(state === undefined ? {} : { state }),
      original: tupleOf(original),
      reply: tupleOf(reply),
      mark: number32(body, find(body, 4, body.length, CTA_MARK)) ?? 0,
      handle: {
        tuple: Buffer.from(body.subarray(at.from, at.to)),
        id,
        ...(zone ? { zone: body.readUInt16BE(zone.from) } : {}),
      },
    };
  }

  #tuple(body: Buffer, { from, to }: Span): ReadTuple | undefined {
    const ip = find(body, from, to, CTA_TUPLE_IP);
    const proto = find(body, from, to, CTA_TUPLE_PROTO);
    if (!ip || !proto) return undefined;
    // Source and destination follow each other as types 1 and 2 (IPv4), 3 and 4 (IPv6).
    const source = find(body, ip.from, ip.to, 1) ?? find(body, ip.from, ip.to, 3);
    const destination = find(body, ip.from, ip.to, CTA_IP_V4_DST) ?? find(body, ip.from, ip.to, CTA_IP_V6_DST);
    const number = find(body, proto.from, proto.to, CTA_PROTO_NUM);
    if (!source || !destination || !number) return undefined;
    return {
      protocol: protocolOf(body.readUInt8(number.from)),
      source: this.#text(body, source),
      destination: this.#text(body, destination),
      sourcePort: number16(body, find(body, proto.from, proto.to, CTA_PROTO_SRC_PORT)),
      destinationPort: number16(body, find(body, proto.from, proto.to, CTA_PROTO_DST_PORT)),
    };
  }

  /** The same few addresses come again and again. */
  #text(body: Buffer, { from, to }: Span): string {
    const key = body.toString('latin1', from, to);
    let text = this.#texts.get(key);
    if (text === undefined) {
      text = textOf(body.subarray(from, to));
      this.#texts.set(key, text);
    }
    return text;
  }
}

interface Span {
  readonly from: number;
  readonly to: number;
}

interface ReadTuple extends Tuple {
  readonly protocol: Flow['protocol'];
}

const tupleOf = ({ protocol: _, ...tuple }: ReadTuple): Tuple => tuple;

/** Where the contents of an attribute are. */
function find(body: Buffer, from: number, to: number, wanted: number): Span | undefined {
  for (let at = from; at + 4 <= to; ) {
    const length = body.readUInt16LE(at);
    if (length < 4 || at + length > to) return undefined;
    if ((body.readUInt16LE(at + 2) & 0x3fff) === wanted) return { from: at + 4, to: at + length };
    at += (length + 3) & ~3;
  }
  return undefined;
}

const number32 = (body: Buffer, at: Span | undefined): number | undefined =>
  at && at.to - at.from === 4 ? body.readUInt32BE(at.from) : undefined;

const number16 = (body: Buffer, at: Span | undefined): number => (at && at.to - at.from === 2 ? body.readUInt16BE(at.from) : 0);

function stateOf(body: Buffer): string | undefined {
  const info = find(body, 4, body.length, CTA_PROTOINFO);
  const tcp = info && find(body, info.from, info.to, 1);
  const state = tcp && find(body, tcp.from, tcp.to, 1);
  return state && TCP_STATES[body.readUInt8(state.from)];
}
