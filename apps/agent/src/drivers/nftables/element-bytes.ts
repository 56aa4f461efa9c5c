/** Elements of sets as the kernel has them (linux/netfilter/nf_tables.h), in nft's words. */
import { addressText, ipv6Text } from '@gwctl/shared/domain/ip-bytes';
import type { SetSpec } from './sets.js';

/** The attributes of a message behind its headers, without a copy of any. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

export interface KernelElement {
  readonly key: string;
  /** Comment and value, as nft writes them. */
  readonly suffix: string;
  /** Empty where there is none. */
  readonly comment: string;
  readonly counter?: { readonly packets: number; readonly bytes: number };
}

/** Behind the header of nfnetlink. */
const NFGENMSG_BYTES = 4;
const LIST_ELEMENTS = 3;
/** NFTA_SET_ELEM_*. */
const [KEY, DATA, USERDATA, EXPR, KEY_END, EXPRESSIONS] = [1, 2, 6, 7, 10, 11];
/** NFTA_DATA_*, NFTA_VERDICT_*, NFTA_EXPR_*, NFTA_COUNTER_*, NFTA_LIST_ELEM. */
const [DATA_VALUE, DATA_VERDICT, VERDICT_CODE, VERDICT_CHAIN] = [1, 2, 1, 2];
const [EXPR_DATA, COUNTER_BYTES, COUNTER_PACKETS, LIST_ELEM] = [2, 1, 2, 1];
/** NFTNL_UDATA_SET_ELEM_COMMENT: one byte of type, one of length, then the text with a zero. */
const UDATA_COMMENT = 0;
const VERDICTS: ReadonlyMap<number, string> = new Map([
  [-3, 'jump'],
  [-4, 'goto'],
]);
const WIDTHS: Readonly<Record<string, number>> = { ipv4_addr: 4, ipv6_addr: 16, ifname: 16 };

/** Hands on what one message of a dump tells. `wanted`: with `counts`, only elements that have a comment, and no words of theirs. */
export function readElements(body: Buffer, set: SetSpec, take: (element: KernelElement) => void, counts = false): void {
  const list = find(body, { from: NFGENMSG_BYTES, to: body.length }, LIST_ELEMENTS);
  if (!list) return;
  each(body, list, (_, element) => {
    const comment = commentText(body, find(body, element, USERDATA));
    if (counts) {
      if (comment !== '') take({ key: '', suffix: '', comment, ...counterOf(body, element) });
      return;
    }
    const key = keyText(body, element, set.types);
    if (key === undefined) return;
    const value = set.data === undefined ? '' : valueText(body, element, set.data);
    take({ key, suffix: [comment === '' ? '' : ` comment "${comment}"`, value].join(''), comment });
  });
}

function keyText(body: Buffer, element: Span, types: readonly string[]): string | undefined {
  const key = find(body, find(body, element, KEY), DATA_VALUE);
  if (!key) return undefined;
  const end = find(body, find(body, element, KEY_END), DATA_VALUE);
  const words: string[] = [];
  let at = 0;
  for (const type of types) {
    const width = WIDTHS[type] ?? 4;
    const first = fieldText(body, key.from + at, type);
    words.push(end ? rangeText(body, { from: key.from + at, to: end.from + at, width, type, first }) : first);
    at += width;
  }
  return words.join(' . ');
}

function valueText(body: Buffer, element: Span, data: string): string {
  const value = find(body, element, DATA);
  const verdict = find(body, value, DATA_VERDICT);
  if (verdict) {
    const code = find(body, verdict, VERDICT_CODE);
    const chain = find(body, verdict, VERDICT_CHAIN);
    const word = code ? VERDICTS.get(body.readInt32BE(code.from)) : undefined;
    return ` : ${word ?? 'other'} ${chain ? zeroEnded(body, chain) : ''}`;
  }
  const bytes = find(body, value, DATA_VALUE);
  if (!bytes) return '';
  let at = bytes.from;
  const words = data.split(' . ').map((type) => {
    const word = fieldText(body, at, type);
    at += WIDTHS[type] ?? 4;
    return word;
  });
  return ` : ${words.join(' . ')}`;
}

function fieldText(body: Buffer, at: number, type: string): string {
  switch (type) {
    case 'ipv4_addr':
      return addressText(body, at, 4);
    case 'ipv6_addr':
      return ipv6Text(body, at);
    case 'inet_proto':
      return body[at] === 6 ? 'tcp' : body[at] === 17 ? 'udp' : String(body[at]);
    case 'inet_service':
      return String(body.readUInt16BE(at));
    default:
      return `"${zeroEnded(body, { from: at, to: at + 16 })}"`;
  }
}

/** Both ends of an interval: one value, a network or a range. */
function rangeText(
  body: Buffer,
  { from, to, width, type, first }: { from: number; to: number; width: number; type: string; first: string },
): string {
  if (body.compare(body, to, to + width, from, from + width) === 0) return first;
  const prefix = type.endsWith('_addr') ? prefixOf(body, from, to, width) : undefined;
  return prefix === undefined ? `${first}-${fieldText(body, to, type)}` : `${first}/${prefix}`;
}

/** The length of the prefix where the two ends are those of a network. */
function prefixOf(body: Buffer, from: number, to: number, width: number): number | undefined {
  let prefix = 0;
  while (prefix < width * 8 && bit(body, from, prefix) === bit(body, to, prefix)) prefix++;
  for (let n = prefix; n < width * 8; n++) if (bit(body, from, n) !== 0 || bit(body, to, n) !== 1) return undefined;
  return prefix;
}

const bit = (body: Buffer, at: number, n: number): number => ((body[at + (n >> 3)] ?? 0) >> (7 - (n & 7))) & 1;

function counterOf(body: Buffer, element: Span): Pick<KernelElement, 'counter'> {
  const counter = find(body, element, EXPR) ?? find(body, find(body, element, EXPRESSIONS), LIST_ELEM);
  const data = find(body, counter, EXPR_DATA);
  const [packets, bytes] = [find(body, data, COUNTER_PACKETS), find(body, data, COUNTER_BYTES)];
  if (!packets || !bytes) return {};
  return { counter: { packets: Number(body.readBigUInt64BE(packets.from)), bytes: Number(body.readBigUInt64BE(bytes.from)) } };
}

function each(data: Buffer, { from, to }: Span, take: (type: number, span: Span) => void): void {
  for (let at = from; at + 4 <= to; ) {
    const length = data.readUInt16LE(at);
    if (length < 4 || at + length > to) return;
    // The two top bits are flags: nested, network byte order.
    take(data.readUInt16LE(at + 2) & 0x3fff, { from: at + 4, to: at + length });
    at += (length + 3) & ~3;
  }
}

function find(data: Buffer, within: Span | undefined, wanted: number): Span | undefined {
  if (!within) return undefined;
  for (let at = within.from; at + 4 <= within.to; ) {
    const length = data.readUInt16LE(at);
    if (length < 4 || at + length > within.to) return undefined;
    if ((data.readUInt16LE(at + 2) & 0x3fff) === wanted) return { from: at + 4, to: at + length };
    at += (length + 3) & ~3;
  }
  return undefined;
}

function commentText(data: Buffer, span: Span | undefined): string {
  for (let at = span?.from ?? 0; span && at + 2 <= span.to; ) {
    const length = data.readUInt8(at + 1);
    if (data.readUInt8(at) === UDATA_COMMENT) return data.toString('latin1', at + 2, at + 2 + Math.max(0, length - 1));
    at += 2 + length;
  }
  return '';
}

function zeroEnded(data: Buffer, { from, to }: Span): string {
  const end = data.indexOf(0, from);
  return data.toString('latin1', from, end < 0 || end > to ? to : end);
}
