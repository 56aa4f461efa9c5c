import type { HostAddress } from '../../planner/types.js';
import { dump } from './dump.js';
import type { Libc } from './libc.js';
import { addresses, links, NETLINK_ROUTE, RTM_GETADDR, RTM_GETLINK } from './messages.js';

export interface HostLinks {
  readonly addresses: readonly HostAddress[];
  /** Every interface, whether up or down. */
  readonly interfaces: readonly string[];
}

/** All addresses and interfaces of this network namespace, those that are down too, in a fraction of a millisecond. */
export function readLinks(libc: Libc): HostLinks {
  const names = links(dump(libc, NETLINK_ROUTE, RTM_GETLINK));
  const found = addresses(dump(libc, NETLINK_ROUTE, RTM_GETADDR)).flatMap(({ link, address, prefix }): HostAddress[] => {
    const name = names.get(link);
    // An interface that came between the two questions.
    return name === undefined ? [] : [{ address, prefix, interface: name }];
  });
  return { addresses: found, interfaces: [...names.values()] };
}

/** Names of all interfaces, by index. */
export const linkNames = (libc: Libc): ReadonlyMap<number, string> => links(dump(libc, NETLINK_ROUTE, RTM_GETLINK));
