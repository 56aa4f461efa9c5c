import type { Family, IpAddress } from '@gwctl/shared/domain/ip';
import { addressOf, familyOf } from './addresses.js';
import { attributes, IFF_UP, type Message, RTM_DELADDR, RTM_NEWADDR, RTM_NEWLINK } from './messages.js';

const RTM_DELLINK = 17;
const RTM_NEWROUTE = 24;
const RTM_DELROUTE = 25;
const RTM_NEWNETCONF = 80;
const IFF_LOWER_UP = 1 << 16;
const NETCONFA_IFINDEX = 1;
const NETCONFA_FORWARDING = 2;
/** Instead of an interface: the setting for all (net/netconf.h). */
const ALL = -1;

/** Something that the kernel announced. `link` is the index of the interface. */
export type LinkEvent =
  | { readonly kind: 'address'; readonly gone: boolean; readonly link: number; readonly address: IpAddress }
  /** `running`: up, and with a carrier. */
  | { readonly kind: 'link'; readonly gone: boolean; readonly link: number; readonly name: string; readonly running: boolean }
  | { readonly kind: 'route'; readonly gone: boolean }
  /** The sysctl `forwarding` of an interface; without `link` that of all. */
  | ({ readonly kind: 'forwarding' } & ForwardingSetting);

export interface ForwardingSetting {
  readonly family: Family;
  readonly on: boolean;
  readonly link?: number;
}

/** The settings among RTM_NEWNETCONF messages. */
export function forwardingSettings(messages: readonly Message[]): ForwardingSetting[] {
  return messages.flatMap(({ type, body }) => (type === RTM_NEWNETCONF ? (forwardingSetting(body) ?? []) : []));
}

/** The changes among what the kernel announced. */
export function linkEvents(messages: readonly Message[]): LinkEvent[] {
  return messages.flatMap((message) => linkEvent(message) ?? []);
}

function linkEvent({ type, body }: Message): LinkEvent | undefined {
  switch (type) {
    case RTM_NEWADDR:
    case RTM_DELADDR:
      return addressEvent(type === RTM_DELADDR, body);
    case RTM_NEWLINK:
    case RTM_DELLINK: {
      if (body.length < 16) return undefined;
      const name = attributes(body.subarray(16)).get(3);
      const flags = body.readUInt32LE(8);
      return {
        kind: 'link',
        gone: type === RTM_DELLINK,
        link: body.readInt32LE(4),
        name: name ? name.toString('utf8', 0, name.length - 1) : '',
        running: (flags & IFF_UP) !== 0 && (flags & IFF_LOWER_UP) !== 0,
      };
    }
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
      return { kind: 'route', gone: type === RTM_DELROUTE };
    case RTM_NEWNETCONF: {
      const setting = forwardingSetting(body);
      return setting && { kind: 'forwarding', ...setting };
    }
    default:
      return undefined;
  }
}

function addressEvent(gone: boolean, body: Buffer): LinkEvent | undefined {
  if (body.length < 8) return undefined;
  const found = attributes(body.subarray(8));
  const address = addressOf(found.get(2) ?? found.get(1));
  return address && { kind: 'address', gone, link: body.readUInt32LE(4), address };
}

function forwardingSetting(body: Buffer): ForwardingSetting | undefined {
  const found = attributes(body.subarray(4));
  const [link, forwarding] = [found.get(NETCONFA_IFINDEX), found.get(NETCONFA_FORWARDING)];
  const family = familyOf(body[0]);
  if (family === undefined || link?.length !== 4 || forwarding?.length !== 4) return undefined;
  const index = link.readInt32LE(0);
  // A negative index other than that for all is the default for interfaces to come.
  if (index < ALL) return undefined;
  return {
    family,
    on: forwarding.readInt32LE(0) !== 0,
    ...(index === ALL ? {} : { link: index }),
  };
}
