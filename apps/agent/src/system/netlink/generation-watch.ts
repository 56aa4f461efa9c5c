import type { Libc } from './libc.js';
import { type Generation, generations, NETLINK_NETFILTER, NFNLGRP_NFTABLES } from './messages.js';
import { watchMulticast } from './multicast-watch.js';

/**
 * Listens to the kernel's announcements of committed changes of nftables in this network namespace. `onGenerations` is called with
 * none when some were lost, or when listening ended by an error: whoever cares then reads everything back. Throws where the kernel
 * refuses.
 */
export function watchGenerations(libc: Libc, onGenerations: (seen: readonly Generation[]) => void): { close(): void } {
  return watchMulticast({
    libc,
    protocol: NETLINK_NETFILTER,
    groups: [NFNLGRP_NFTABLES],
    onAnnounced: ({ messages, lost }) => {
      const seen = generations(messages);
      if (seen.length > 0) onGenerations(seen);
      if (lost) onGenerations([]);
    },
  });
}
