import type { Protocol } from '@gwctl/shared/domain/forward';
import { parseIp } from '@gwctl/shared/domain/ip';
import { type PortRange, parsePortRange } from '@gwctl/shared/domain/ports';
import { err, ok, quote, type Result } from '@gwctl/shared/domain/result';
import { oneOf } from './choice.js';

/** What --listen says. An empty address: every address of the gateway. No ports exactly for protocol `all`. */
export interface ListenFlag {
  readonly address: string;
  readonly protocol: Protocol;
  readonly ports?: PortRange;
}

const PROTOCOLS: readonly Protocol[] = ['tcp', 'udp', 'tcp+udp', 'all'];
/** What asks for a free port on the command line: a 0 there is more likely a mistake. */
const FREE = 'auto';
/** What asks for one on the wire: the control plane chooses it. */
export const ANY_FREE: PortRange = { first: 0, last: 0 };

const FORM = 'write [ADDR:]PORT[-PORT][/tcp|/udp|/tcp+udp] or ADDR/all, for instance 192.168.1.10:10022/tcp or [2001:db8::1]:443';

/** Reads `10022`, `auto` for a free port, `192.168.1.10:10022/tcp`, `50000-50009/udp`, `[2001:db8::1]:443`, `*:53/tcp+udp`, `192.168.100.3/all`. */
export function parseListen(text: string): Result<ListenFlag, string> {
  const slash = text.lastIndexOf('/');
  const word = slash < 0 ? 'tcp' : text.slice(slash + 1);
  const protocol = PROTOCOLS.find((p) => p === word);
  if (!protocol) return err(`${quote(word)} (of ${quote(text)}) is not a protocol; use ${oneOf(PROTOCOLS)}`);
  const place = splitPlace(slash < 0 ? text : text.slice(0, slash), protocol);
  if (!place) return err(`${quote(text)} is not a listener; ${FORM}`);
  if (!place.ok) return place;
  const address = place.value.address === undefined ? ok('') : readAddress(place.value.address);
  if (!address.ok) return address;
  if (protocol === 'all') {
    if (place.value.ports !== undefined)
      return err(`${quote(text)} names ports, but protocol all is 1:1 NAT of a whole address; write ADDR/all`);
    if (address.value === '') return err(`${quote(text)} names no address, but protocol all translates one; write ADDR/all`);
    return ok({ address: address.value, protocol });
  }
  if (place.value.ports === undefined) return err(`${quote(text)} names no port; ${FORM}`);
  const ports = place.value.ports === FREE ? ok(ANY_FREE) : parsePortRange(place.value.ports);
  return ports.ok ? ok({ address: address.value, protocol, ports: ports.value }) : ports;
}

interface Place {
  readonly address?: string;
  readonly ports?: string;
}

function splitPlace(text: string, protocol: Protocol): Result<Place, string> | undefined {
  const bracketed = /^\[([^[\]]*)\](?::([^:]*))?$/.exec(text);
  if (bracketed) return ok({ address: bracketed[1] ?? '', ...(bracketed[2] === undefined ? {} : { ports: bracketed[2] }) });
  const colons = text.split(':').length - 1;
  if (colons > 1) {
    // Without a port the address cannot be misread; with one, 2001:db8::1:443 is a valid address too.
    if (protocol === 'all' && parseIp(text).ok) return ok({ address: text });
    return err(`${quote(text)}: an IPv6 address stands in brackets; write [ADDRESS]:PORT, for instance [2001:db8::1]:443`);
  }
  if (colons === 1) {
    const [address = '', ports = ''] = text.split(':');
    return address === '' ? undefined : ok({ address, ports });
  }
  if (text === '') return undefined;
  return ok(text === FREE || /^\d[\d-]*$/.test(text) ? { ports: text } : { address: text });
}

/** `*` is how every address is shown, so it is read too. */
function readAddress(text: string): Result<string, string> {
  if (text === '*') return ok('');
  const ip = parseIp(text);
  return ip.ok ? ok(ip.value.text) : ip;
}
