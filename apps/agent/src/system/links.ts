import { parseIp } from '@gwctl/shared/domain/ip';
import { AppError } from '@gwctl/shared/errors/app-error';
import type { HostAddress } from '../planner/types.js';
import { type Exec, mustRun } from './exec.js';
import { loadLibc } from './netlink/libc.js';
import { type HostLinks, readLinks } from './netlink/route.js';

export type { HostLinks };

/** Reads addresses and interfaces of this network namespace. */
export type LinkReader = () => Promise<HostLinks>;

/**
 * From the kernel directly, which takes a fraction of a millisecond; where native calls do not work, from the program `ip`. Not from
 * os.networkInterfaces(), which leaves out interfaces that are down or have no carrier.
 */
export function linkReader(exec: Exec): LinkReader {
  try {
    const libc = loadLibc();
    return async () => readLinks(libc);
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    return async () => parseIpAddr((await mustRun(exec, { program: 'ip', args: ['-j', 'addr', 'show'] })).stdout);
  }
}

/** Reads what `ip -j addr show` prints. */
export function parseIpAddr(text: string): HostLinks {
  const parsed: unknown = JSON.parse(text);
  const links = (Array.isArray(parsed) ? parsed : []) as readonly {
    readonly ifname?: unknown;
    readonly addr_info?: readonly { readonly local?: unknown; readonly prefixlen?: unknown }[];
  }[];
  const named = links.flatMap((l) => (typeof l.ifname === 'string' ? [{ name: l.ifname, info: l.addr_info ?? [] }] : []));
  return {
    interfaces: named.map((l) => l.name),
    addresses: named.flatMap(({ name, info }) =>
      info.flatMap((a): HostAddress[] => {
        const address = parseIp(String(a.local));
        return address.ok && typeof a.prefixlen === 'number'
          ? [{ address: address.value, prefix: a.prefixlen, interface: name }]
          : [];
      }),
    ),
  };
}
