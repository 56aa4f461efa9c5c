import { AppError } from '@gwctl/shared/errors/app-error';
import { FAMILY_NUMBERS } from './netlink/addresses.js';
import { dump } from './netlink/dump.js';
import { loadLibc } from './netlink/libc.js';
import { NETLINK_ROUTE } from './netlink/messages.js';
import { linkNames } from './netlink/route.js';
import { type ForwardingSetting, forwardingSettings } from './netlink/route-events.js';
import { interfaceKey } from './sysctl-keys.js';

/** RTM_GETNETCONF. */
const GET_SETTINGS = 82;

/** Names the parameters that are 0 for one interface although forwarding is on for all: `net.ipv4.conf.eth1.forwarding`. */
export type InterfaceForwarding = () => readonly string[];

/** Asks the kernel for all interfaces at once. Knows of none where native calls do not work or the kernel does not say. */
export const interfaceForwarding: InterfaceForwarding = () => {
  try {
    const libc = loadLibc();
    const names = linkNames(libc);
    return ([4, 6] as const).flatMap((family) => {
      const body = Buffer.from([FAMILY_NUMBERS[family], 0, 0, 0]);
      const settings = forwardingSettings(dump(libc, NETLINK_ROUTE, GET_SETTINGS, body)).filter((s) => s.family === family);
      return exceptions(settings, names).map((name) => interfaceKey(family, name, 'forwarding'));
    });
  } catch (error) {
    if (error instanceof AppError) return [];
    throw error;
  }
};

/** Interfaces that do not forward although all do. */
export function exceptions(settings: readonly ForwardingSetting[], names: ReadonlyMap<number, string>): string[] {
  if (!settings.some((s) => s.link === undefined && s.on)) return [];
  return settings.flatMap(({ link, on }) => {
    const name = link === undefined || on ? undefined : names.get(link);
    return name === undefined || name === 'lo' ? [] : [name];
  });
}
