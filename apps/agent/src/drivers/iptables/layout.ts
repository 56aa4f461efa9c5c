/** Names and marks of everything that this driver puts into the kernel. The README beside this file draws the packet's path. */
import type { Family } from '@gwctl/shared/domain/ip';

export const FAMILIES = [4, 6] as const satisfies readonly Family[];

export const TABLES = ['raw', 'mangle', 'filter', 'nat'] as const;
export type TableName = (typeof TABLES)[number];

/** Our chains begin with this; nothing else on the host may. */
export const CHAIN_PREFIX = 'GWCTL-';

export const CHAINS = {
  /** raw: which connections carry FTP control. */
  ftp: 'GWCTL-FTP',
  /** mangle: stray TCP segments, before any address is rewritten. */
  invalid: 'GWCTL-INV',
  /** mangle: stray TCP segments of targets, to the address that the gateway lends to clients. */
  answers: 'GWCTL-ANS',
  /** mangle: allow-lists, likewise. */
  acl: 'GWCTL-ACL',
  /** mangle: the segment size that TCP announces. */
  mss: 'GWCTL-MSS',
  /** mangle: what leaves from inside becomes a flow of ours. */
  egress: 'GWCTL-EGR',
  /** mangle: likewise, for targets that a whole address belongs to. */
  sourceMark: 'GWCTL-SMARK',
  /** filter: accepts our flows in the forward hook. */
  forward: 'GWCTL-FWD',
  /** mangle: marks what comes to the relay. */
  relay: 'GWCTL-RLY',
  /** filter: accepts that in the input hook. */
  input: 'GWCTL-IN',
  /** filter: a packet of a flow of ours. */
  ours: 'GWCTL-OURS',
  /** filter: counts what passes through forwards. */
  count: 'GWCTL-CNT',
  /** filter: counts what targets send that a whole address belongs to. */
  countSource: 'GWCTL-SCNT',
  /** filter: counts what passes through egresses. */
  countEgress: 'GWCTL-ECNT',
  /** nat: to the listeners, but for what none may take. */
  dispatch: 'GWCTL-DISP',
  /** nat: from listener to target, where the listener has an address. */
  dnat: 'GWCTL-DNAT',
  /** nat: from every address of the gateway to a target. */
  dnatAny: 'GWCTL-ANY',
  /** nat: source addresses. */
  post: 'GWCTL-POST',
  /** nat: source addresses of forwarded flows. */
  snat: 'GWCTL-SNAT',
  /** nat: source addresses of what targets send that a whole address belongs to. */
  sourceSnat: 'GWCTL-SRC',
  /** Scratch chain of detection. */
  detect: 'GWCTL-DETECT',
} as const;

/** Targets of a forward that has several. */
export const targetsChain = (key: string): string => `GWCTL-F-${key}`;
export const allowChain = (key: string): string => `GWCTL-A-${key}`;
/** What of an egress's traffic is translated, and to what. */
export const egressChain = (key: string): string => `GWCTL-E-${key}`;
/** What of an egress's traffic is accepted. */
export const egressMarkChain = (key: string): string => `GWCTL-X-${key}`;

/** The key in the name of a chain of one forward or egress; undefined for the shared ones. */
export function keyOfChain(chain: string): string | undefined {
  return /^GWCTL-[AFEX]-([0-9a-f]{8})$/.exec(chain)?.[1];
}

/** One bit of the connection mark: "a flow of ours". Others use 0xff0000 (Tailscale), 0xc000 (Kubernetes), 0x3000 (netavark). */
export const MARK_BIT = 0x1000000;
export const MARK = '0x1000000/0x1000000';
export const SET_MARK = `CONNMARK --set-xmark ${MARK}`;

/** The same bit of the packet mark: "comes to the relay". Nobody behind the input hook asks for it, so it stays on. */
export const SET_PACKET_MARK = `MARK --set-xmark ${MARK}`;
/** Accepts what has it; in our own chain, and in that of the other variant. */
export const acceptMarked = (...role: readonly string[]): string => `-m mark --mark ${MARK} ${comment(...role)} -j ACCEPT`;

/** Roles of rules, in their comments: `gwctl:<key>:<role>`. Shared rules have a word in the key's place. */
export const comment = (...words: readonly string[]): string => `-m comment --comment "gwctl:${words.join(':')}"`;

/** The key in a rule's comment; undefined for shared rules and those of others. */
export function keyOfRule(rule: string): string | undefined {
  const at = rule.indexOf('"gwctl:');
  if (at < 0) return undefined;
  return /^([0-9a-f]{8})[:"]/.exec(rule.slice(at + 7, at + 16))?.[1];
}

/** A jump of ours in a chain that is not ours. */
export interface Hook {
  readonly chain: string;
  /** Where it leads. */
  readonly to: string;
  readonly rule: string;
}

const hook = (chain: string, to: string, match = ''): Hook => ({ chain, to, rule: `${match}${comment('hook')} -j ${to}` });

const NEW = '-m conntrack --ctstate NEW ';
/**
 * Asking has the kernel track connections to the relay from their first packet: without it, a forward that the kernel carries later
 * would rewrite them in the middle.
 */
const TRACKED = '-m conntrack --ctstate INVALID,NEW,ESTABLISHED ';
const STRAY = '-p tcp -m conntrack --ctstate INVALID ';
const FIRST_SEGMENT = '-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN ';
const LOOPBACK: Readonly<Record<Family, string>> = { 4: '127.0.0.0/8', 6: '::1/128' };

/** The only rules that we put into others' chains. Each is there exactly while the chain that it leads to is. */
export const HOOKS = Object.fromEntries(
  FAMILIES.map((family) => [
    family,
    {
      raw: ['PREROUTING', 'OUTPUT'].map((chain) => hook(chain, CHAINS.ftp, FIRST_SEGMENT)),
      mangle: [
        ...['PREROUTING', 'OUTPUT'].flatMap((chain) => [hook(chain, CHAINS.invalid, STRAY), hook(chain, CHAINS.acl, NEW)]),
        hook('PREROUTING', CHAINS.answers, `${STRAY}-m addrtype --dst-type LOCAL `),
        hook('FORWARD', CHAINS.mss, '-p tcp -m tcp --tcp-flags SYN,RST SYN '),
        hook('FORWARD', CHAINS.egress, NEW),
        hook('INPUT', CHAINS.relay, TRACKED),
      ],
      filter: [hook('FORWARD', CHAINS.forward), hook('INPUT', CHAINS.input)],
      nat: [
        hook('PREROUTING', CHAINS.dispatch),
        // What a program sends to loopback addresses never leaves the host and must not be rewritten.
        hook('OUTPUT', CHAINS.dispatch, `! -d ${LOOPBACK[family]} `),
        hook('POSTROUTING', CHAINS.post),
      ],
    },
  ]),
) as unknown as Readonly<Record<Family, Readonly<Record<TableName, readonly Hook[]>>>>;
