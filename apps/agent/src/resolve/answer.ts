import { type Family, type IpAddress, parseIp } from '@gwctl/shared/domain/ip';
import type { FamilyAnswer } from './dns-client.js';

/** More addresses than this of one family are left out. A pool that needs more has another name for each part. */
export const MOST_ADDRESSES = 64;

/** Addresses of one name by family, each list sorted and without duplicates. */
export interface Addresses {
  readonly 4: readonly IpAddress[];
  readonly 6: readonly IpAddress[];
}

export const NO_ADDRESSES: Addresses = { 4: [], 6: [] };

export type Answers = { readonly [F in Family]: FamilyAnswer };

export type Judged =
  | {
      readonly kind: 'good';
      readonly addresses: Addresses;
      /** Seconds, as the servers said. */
      readonly ttl: number;
      /** Why one family is only what was known before. */
      readonly lacking?: string;
      /** What was left out of the answer. */
      readonly remark?: string;
    }
  | { readonly kind: 'bad'; readonly trouble: string };

/**
 * What the answers for both families mean together. One family with addresses is enough. Where the other one could not be asked, what was
 * `known` of it stands; where it is known to be nothing, nothing is missed (servers that fail every AAAA question are not rare).
 */
export function judge(answers: Answers, known: Addresses): Judged {
  const read = { 4: readFamily(answers[4]), 6: readFamily(answers[6]) };
  const found = ([4, 6] as const).filter((family) => read[family].addresses.length > 0);
  const left = [...read[4].left, ...read[6].left];
  if (found.length === 0) return { kind: 'bad', trouble: whyNone(answers, left) };
  const addresses = { 4: read[4].addresses, 6: read[6].addresses };
  let lacking: string | undefined;
  for (const family of [4, 6] as const) {
    const answer = answers[family];
    if (answer.kind !== 'failed' || known[family].length === 0) continue;
    addresses[family] = known[family];
    lacking = `${answer.why} for IPv${family}`;
  }
  return {
    kind: 'good',
    addresses,
    ttl: Math.min(...found.map((family) => read[family].ttl)),
    ...(lacking !== undefined && { lacking }),
    ...(left.length > 0 && { remark: left.join('; ') }),
  };
}

interface ReadFamily {
  readonly addresses: readonly IpAddress[];
  readonly ttl: number;
  /** What was left out, for people. */
  readonly left: readonly string[];
}

function readFamily(answer: FamilyAnswer): ReadFamily {
  if (answer.kind !== 'addresses') return { addresses: [], ttl: Number.POSITIVE_INFINITY, left: [] };
  const byText = new Map<string, IpAddress>();
  const left: string[] = [];
  for (const text of answer.addresses) {
    const parsed = parseIp(text);
    if (parsed.ok) byText.set(parsed.value.text, parsed.value);
    else if (left.length === 0) left.push(`left out: ${parsed.error}`);
  }
  const sorted = [...byText.values()].sort((a, b) => (a.text < b.text ? -1 : 1));
  if (sorted.length > MOST_ADDRESSES)
    left.push(`${sorted.length} IPv${sorted[0]?.family} addresses, of which the first ${MOST_ADDRESSES} are used`);
  return { addresses: sorted.slice(0, MOST_ADDRESSES), ttl: answer.ttl, left };
}

function whyNone(answers: Answers, left: readonly string[]): string {
  const both = [answers[4], answers[6]];
  const failed = new Set(both.flatMap((a) => (a.kind === 'failed' ? [a.why] : [])));
  if (failed.size > 0) return [...failed].join('; ');
  if (left.length > 0) return `no usable address; ${left.join('; ')}`;
  const none = both.flatMap((a) => (a.kind === 'none' ? [a] : []));
  const worst = none.find((a) => a.word === 'NXDOMAIN') ?? none[0];
  return worst?.word === 'NXDOMAIN' ? `NXDOMAIN from ${worst.server}` : `no addresses (NODATA) from ${worst?.server}`;
}

/** The same for the same addresses. */
export function keyOf(addresses: Addresses): string {
  return [...addresses[4], ...addresses[6]].map((a) => a.text).join(' ');
}
