/** Names and marks of everything that this driver puts into the kernel. The README beside this file draws the packet's path. */

export const TABLES = ['mangle', 'filter', 'nat'] as const;
export type TableName = (typeof TABLES)[number];

/** Our chains begin with this; nothing else on the host may. */
export const CHAIN_PREFIX = 'GWCTL-';

export const CHAINS = {
  /** mangle: allow-lists and stray packets, before any address is rewritten. */
  acl: 'GWCTL-ACL',
  /** filter: accepts our flows in the forward hook. */
  forward: 'GWCTL-FWD',
  /** nat: from listener to the forward's own chain. */
  dispatch: 'GWCTL-DISP',
  /** nat: source addresses. */
  post: 'GWCTL-POST',
  /** Scratch chain of detection. */
  detect: 'GWCTL-DETECT',
} as const;

/**
 * The rules of many forwards stand in parts, by the first digit of their key: a change then writes, and reads back, a sixteenth of
 * them. The order of parts does not matter, for no two forwards match the same packet.
 */
export const partOf = (chain: string, key: string): string => `${chain}-${key.slice(0, 1)}`;

export const forwardChain = (key: string): string => `GWCTL-F-${key}`;
export const allowChain = (key: string): string => `GWCTL-A-${key}`;

/** The key in the name of a forward's own chain; undefined for the shared ones. */
export function keyOfChain(chain: string): string | undefined {
  return /^GWCTL-[AF]-([0-9a-f]{8})$/.exec(chain)?.[1];
}

/** One bit of the connection mark: "a flow of ours". Others use 0xff0000 (Tailscale), 0xc000 (Kubernetes), 0x3000 (netavark). */
export const MARK_BIT = 0x1000000;
export const MARK = '0x1000000/0x1000000';

/** Roles of rules, in their comments: `gwctl:<key>:<role>`. Shared rules have a word in the key's place. */
export const comment = (...words: readonly string[]): string => `-m comment --comment "gwctl:${words.join(':')}"`;

/** The key in a rule's comment; undefined for shared rules and those of others. */
export function keyOfRule(rule: string): string | undefined {
  return /--comment "gwctl:([0-9a-f]{8})[:"]/.exec(rule)?.[1];
}

/** A jump of ours in a chain that is not ours. */
export interface Hook {
  readonly chain: string;
  readonly rule: string;
}

const hook = (chain: string, to: string, match = ''): Hook => ({ chain, rule: `${match}${comment('hook')} -j ${to}` });

/** The only rules that we put into others' chains. Each table's are there exactly when the table holds rules of ours. */
export const HOOKS: Readonly<Record<TableName, readonly Hook[]>> = {
  mangle: [
    hook('PREROUTING', CHAINS.acl, '-m conntrack --ctstate INVALID,NEW '),
    hook('OUTPUT', CHAINS.acl, '-m conntrack --ctstate INVALID,NEW '),
  ],
  filter: [hook('FORWARD', CHAINS.forward)],
  nat: [
    hook('PREROUTING', CHAINS.dispatch),
    // What a program sends to 127.0.0.0/8 never leaves the host and must not be rewritten.
    hook('OUTPUT', CHAINS.dispatch, '! -d 127.0.0.0/8 '),
    hook('POSTROUTING', CHAINS.post),
  ],
};
