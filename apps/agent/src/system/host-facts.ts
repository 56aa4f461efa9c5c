import type { IpAddress } from '@gwctl/shared/domain/ip';
import type { HostFacts, LocalSocket, ProtectedListener } from '../planner/types.js';
import type { LinkReader } from './links.js';
import type { SocketOwner, SocketOwners } from './socket-owners.js';
import type { SocketReader, WaitingSocket } from './sockets.js';

export interface FactsQuestion {
  /** Where the agent reaches the control plane: addresses and port of its live connection or, before there is one, of the next. */
  readonly control: readonly { readonly address: IpAddress; readonly port: number }[];
  /** Ports of desired listeners: of sockets on these it is found out whose they are. Without any of UDP, its sockets are not read. */
  readonly ports: { readonly tcp: Ports; readonly udp: Ports };
}

type Ports = Pick<ReadonlySet<number>, 'has' | 'size'>;

const SSH_PORT = 22;

/** Reads what the planner must know of the host. Costs about a millisecond; more only when a new socket listens. */
export class HostFactsReader {
  readonly #links: LinkReader;
  readonly #owners: SocketOwners;
  readonly #sockets: SocketReader;
  readonly #own: () => Promise<ReadonlySet<number>>;

  /** `own`: process ids whose sockets are there for forwards only, and stand in the way of none. */
  constructor(options: {
    readonly links: LinkReader;
    readonly owners: SocketOwners;
    readonly sockets: SocketReader;
    readonly own?: () => Promise<ReadonlySet<number>>;
  }) {
    this.#links = options.links;
    this.#owners = options.owners;
    this.#sockets = options.sockets;
    this.#own = options.own ?? (async () => new Set());
  }

  async read(question: FactsQuestion): Promise<HostFacts> {
    const { ports } = question;
    const [links, tcp, udp] = await Promise.all([
      this.#links(),
      this.#sockets('tcp'),
      ports.udp.size > 0 ? this.#sockets('udp') : [],
    ]);
    const all = [...tcp, ...udp];
    // Every TCP listener may be an sshd; of the others only those are asked for that a forward wants.
    const asked = all.filter((s) => s.protocol === 'tcp' || ports.udp.has(s.port));
    const owners = await this.#owners.find(new Set(asked.map((s) => s.inode)));
    // Asked for last: whoever opened a socket that was found is known by now.
    const own = await this.#own();
    const sockets = all.filter((s) => !own.has(owners.get(s.inode)?.pid ?? 0));
    return {
      ...links,
      sockets: sockets.map((s) => localSocket(s, owners.get(s.inode))),
      protected: [...sshListeners(sockets, owners), ...controlListeners(question.control)],
    };
  }
}

function localSocket({ protocol, address, port }: WaitingSocket, owner: SocketOwner | undefined): LocalSocket {
  return { protocol, ...(address ? { address } : {}), port, ...(owner ? { owner: `${owner.comm} (pid ${owner.pid})` } : {}) };
}

/** What sshd listens on; where its processes cannot be seen, or systemd listens for it, whatever listens on port 22. */
export function sshListeners(
  sockets: readonly WaitingSocket[],
  owners: ReadonlyMap<number, SocketOwner>,
): readonly ProtectedListener[] {
  const listening = sockets.filter((s) => s.protocol === 'tcp');
  const sshd = listening.filter((s) => owners.get(s.inode)?.comm === 'sshd');
  const found = sshd.length > 0 ? sshd : listening.filter((s) => s.port === SSH_PORT);
  const unique = new Map(found.map((s) => [`${s.address?.text ?? '*'} ${s.port}`, s]));
  return [...unique.values()].map(({ address, port }) => ({
    kind: 'ssh',
    protocol: 'tcp',
    ...(address ? { address } : {}),
    port,
    reason: "the gateway's own sshd",
  }));
}

export function controlListeners(control: FactsQuestion['control']): readonly ProtectedListener[] {
  return control.map(({ address, port }) => ({
    kind: 'control',
    protocol: 'tcp',
    address,
    port,
    reason: "the agent's own connection to the control plane",
  }));
}
