import { type IpAddress, parseIp } from '@gwctl/shared/domain/ip';
import { AppError } from '@gwctl/shared/errors/app-error';
import { refused } from './errno.js';
import { commandFailed, type Exec, mustRun } from './exec.js';
import { EADDRNOTAVAIL, EEXIST, ENODEV } from './native/constants.js';
import {
  addRequest,
  isMarkable,
  type LinkEntry,
  listAddresses,
  listLinks,
  type MarkedAddress,
  removeRequest,
} from './netlink/address-changes.js';
import { type Libc, loadLibc } from './netlink/libc.js';
import { NETLINK_ROUTE } from './netlink/messages.js';
import { announcementFrame } from './netlink/neighbour-frames.js';
import { sendFrames } from './netlink/packet-socket.js';
import { NetlinkSocket } from './netlink/socket.js';

export { isMarkable, type LinkEntry, type MarkedAddress };

/** What changes and reads the addresses of this network namespace. */
export interface AddressKernel {
  list(): Promise<{ readonly links: readonly LinkEntry[]; readonly addresses: readonly MarkedAddress[] }>;
  /** Gives the address to the interface, by itself and never as a source; does nothing where it has it already. Throws otherwise. */
  add(link: LinkEntry, address: IpAddress): Promise<void>;
  /** Does nothing where the interface does not have it. */
  remove(link: LinkEntry, address: IpAddress): Promise<void>;
  /** Tells the neighbours once whose these are; nothing where the interface is no Ethernet. Throws where it cannot. */
  announce(link: LinkEntry, addresses: readonly IpAddress[]): void;
}

/** By netlink; by the program `ip` where native calls do not work. */
export function addressKernel(exec: Exec): AddressKernel {
  try {
    return new NetlinkAddresses(loadLibc());
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    return new ProgramAddresses(exec);
  }
}

export class NetlinkAddresses implements AddressKernel {
  readonly #libc: Libc;

  constructor(libc: Libc) {
    this.#libc = libc;
  }

  async list() {
    return { links: listLinks(this.#libc), addresses: listAddresses(this.#libc) };
  }

  async add(link: LinkEntry, address: IpAddress): Promise<void> {
    this.#ask(addRequest(link, address), [EEXIST], `add ${address.text} to ${link.name}`);
  }

  async remove(link: LinkEntry, address: IpAddress): Promise<void> {
    this.#ask(removeRequest(link.index, address), [EADDRNOTAVAIL, ENODEV], `remove ${address.text} from ${link.name}`);
  }

  announce(link: LinkEntry, addresses: readonly IpAddress[]): void {
    const { mac } = link;
    if (!mac || !link.up || addresses.length === 0) return;
    sendFrames(
      this.#libc,
      link.index,
      addresses.map((a) => announcementFrame(mac, a)),
    );
  }

  #ask(request: Buffer, fine: readonly number[], what: string): void {
    const socket = NetlinkSocket.open(this.#libc, NETLINK_ROUTE);
    try {
      const [errno = 0] = socket.acknowledged([request]);
      if (errno !== 0 && !fine.includes(errno)) throw refused(errno, what);
    } finally {
      socket.close();
    }
  }
}

/** Through the program `ip`. Neighbours learn of a new address only when they ask. */
export class ProgramAddresses implements AddressKernel {
  readonly #exec: Exec;

  constructor(exec: Exec) {
    this.#exec = exec;
  }

  async list() {
    return parseMarked((await mustRun(this.#exec, { program: 'ip', args: ['-j', 'addr', 'show'] })).stdout);
  }

  async add({ name }: LinkEntry, { family, text }: IpAddress): Promise<void> {
    const how =
      family === 4
        ? [`${text}/32`, 'dev', name, 'scope', 'host', ...(isMarkable(family, name) ? ['label', `${name}:gwctl`] : [])]
        : [`${text}/128`, 'dev', name, 'nodad', 'noprefixroute', 'preferred_lft', '0'];
    await this.#run(['addr', 'add', ...how], /File exists|already assigned/);
  }

  async remove({ name }: LinkEntry, { family, text }: IpAddress): Promise<void> {
    const args = ['addr', 'del', `${text}/${family === 4 ? 32 : 128}`, 'dev', name];
    await this.#run(args, /Cannot assign requested address|Address not found|Cannot find device/);
  }

  announce(): void {
    throw new AppError({
      code: 'FAILED_PRECONDITION',
      reason: 'NOT_ANNOUNCED',
      message: 'native calls do not work here, so the neighbours are not told of a new address and learn of it when they ask',
    });
  }

  async #run(args: readonly string[], fine: RegExp): Promise<void> {
    const command = { program: 'ip', args };
    const finished = await this.#exec.run(command);
    if (finished.exitCode !== 0 && !fine.test(finished.stderr)) throw commandFailed(command, finished);
  }
}

/** Reads what `ip -j addr show` prints. */
export function parseMarked(text: string): { readonly links: LinkEntry[]; readonly addresses: MarkedAddress[] } {
  const parsed: unknown = JSON.parse(text);
  const links: LinkEntry[] = [];
  const addresses: MarkedAddress[] = [];
  for (const entry of Array.isArray(parsed) ? parsed : []) {
    const { ifindex, ifname, flags, addr_info: info } = entry as Readonly<Record<string, unknown>>;
    if (typeof ifindex !== 'number' || typeof ifname !== 'string') continue;
    links.push({ index: ifindex, name: ifname, up: Array.isArray(flags) && flags.includes('UP') });
    for (const one of Array.isArray(info) ? info : []) {
      const { local, prefixlen, label } = one as Readonly<Record<string, unknown>>;
      const address = parseIp(String(local));
      if (address.ok && typeof prefixlen === 'number')
        addresses.push({ link: ifindex, address: address.value, prefix: prefixlen, marked: String(label).endsWith(':gwctl') });
    }
  }
  return { links, addresses };
}
