import { type Family, parseIp } from '@gwctl/shared/domain/ip';
import type { Flow, Tuple } from './flows.js';

/** In front of every line of /proc/net/nf_conntrack the family; then the protocol by name, as far as the kernel knows it, and number. */
const LINE = /^(?:ipv(?:4\s+2|6\s+10)\s+)?([a-z0-9-]+)\s+(\d+)\s/;
const TUPLE = /src=(\S+) dst=(\S+)(?: sport=(\d+) dport=(\d+)| type=\d+ code=\d+ id=\d+| srckey=\S+ dstkey=\S+)?/g;

/**
 * Reads what /proc/net/nf_conntrack holds or `conntrack -L` prints: the same but for the family in front. Lines that do not hold both
 * directions are left out: the table changes while it is read.
 */
export function parseFlows(text: string): Flow[] {
  const flows: Flow[] = [];
  for (const line of text.split('\n')) {
    const flow = parseLine(line);
    if (flow) flows.push(flow);
  }
  return flows;
}

function parseLine(line: string): Flow | undefined {
  const number = LINE.exec(line)?.[2];
  if (number === undefined) return undefined;
  const [original, reply] = [...line.matchAll(TUPLE)].map((m) => parseTuple(m));
  if (!original || !reply || original.family !== reply.family) return undefined;
  const state = /\s\d+ ([A-Z][A-Z_0-9]+) src=/.exec(line)?.[1];
  const mark = / mark=(\d+)/.exec(line)?.[1];
  const { family } = original;
  return {
    ...(family === 6 ? { family } : {}),
    protocol: protocolOf(Number(number)),
    ...(state === undefined ? {} : { state }),
    original: original.tuple,
    reply: reply.tuple,
    mark: Number(mark ?? 0),
  };
}

function parseTuple([, from = '', to = '', sourcePort, destinationPort]: RegExpMatchArray):
  | { readonly family: Family; readonly tuple: Tuple }
  | undefined {
  const [source, destination] = [parseIp(from), parseIp(to)];
  if (!source.ok || !destination.ok || source.value.family !== destination.value.family) return undefined;
  return {
    family: source.value.family,
    tuple: {
      source: source.value.text,
      destination: destination.value.text,
      sourcePort: Number(sourcePort ?? 0),
      destinationPort: Number(destinationPort ?? 0),
    },
  };
}

/** Of an IP protocol's number. */
export const protocolOf = (number: number): Flow['protocol'] => (number === 6 ? 'tcp' : number === 17 ? 'udp' : number);

export const protocolNumber = (protocol: Flow['protocol']): number =>
  protocol === 'tcp' ? 6 : protocol === 'udp' ? 17 : protocol;
