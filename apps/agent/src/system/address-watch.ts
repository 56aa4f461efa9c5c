import { AppError } from '@gwctl/shared/errors/app-error';
import { loadLibc } from './netlink/libc.js';
import { NETLINK_ROUTE } from './netlink/messages.js';
import { watchMulticast } from './netlink/multicast-watch.js';
import { type LinkEvent, linkEvents } from './netlink/route-events.js';

export type { LinkEvent };

/** RTNLGRP_ of linux/rtnetlink.h: links, addresses and the kernel's settings of forwarding, of both families. */
const GROUPS = { link: 1, address4: 5, route4: 7, address6: 9, route6: 11, settings4: 24, settings6: 25 } as const;

/** Calls `onChange` with what changed; with nothing when announcements were lost, so that everything has to be read back. */
export type AddressWatch = (onChange: (events: readonly LinkEvent[]) => void) => { close(): void };

/**
 * The kernel announces every change of addresses, links and forwarding. `routes` too, where asked for: on a router with thousands of
 * them that is much to listen to. Says why where that does not work here.
 */
export function addressWatch(options: { readonly routes?: boolean } = {}): {
  readonly watch?: AddressWatch;
  readonly detail: string;
} {
  const { route4, route6, ...rest } = GROUPS;
  const groups = [...Object.values(rest), ...(options.routes ? [route4, route6] : [])];
  const watch: AddressWatch = (onChange) =>
    watchMulticast({
      libc: loadLibc(),
      protocol: NETLINK_ROUTE,
      groups,
      onAnnounced: ({ messages, lost }) => {
        const events = linkEvents(messages);
        if (events.length > 0) onChange(events);
        if (lost) onChange([]);
      },
    });
  try {
    watch(() => undefined).close();
    return { watch, detail: 'the kernel announces changes of addresses, links and forwarding, listened to by trying' };
  } catch (error) {
    return { detail: `changes of addresses are only found by reading them back: ${AppError.from(error).message}` };
  }
}
