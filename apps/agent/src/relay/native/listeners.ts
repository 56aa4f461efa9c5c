import { acceptAll, closeAll, type ListenOptions, openListening } from '../../system/native/listening-socket.js';
import type { RelayLibc } from '../../system/native/relay-libc.js';
import { listenFailure } from '../core/listen-trouble.js';
import type { ListenFailure, ListeningSocket } from '../engine.js';
import type { RelayedForward, Transport } from '../types.js';
import { type DrainingPorts, NONE_DRAINING } from './draining-ports.js';
import type { Adopted } from './messages.js';

/** Further ports of a forward are listened on with one socket each, which the workers share. */
const MOST_PORTS_SPREAD = 16;

/** A listening socket and who watches it. */
export interface OpenSocket extends ListeningSocket {
  /** Undefined: all workers. */
  readonly worker: number | undefined;
  readonly inherited: boolean;
}

interface Place {
  readonly transport: Transport;
  readonly address: string;
  readonly port: number;
  readonly interface?: string;
}

export type Opened =
  | { readonly sockets: readonly OpenSocket[]; readonly gone: readonly OpenSocket[]; readonly undo: () => void }
  | { readonly failure: ListenFailure };

/**
 * The listening sockets of all forwards. They belong to the main thread: whether a forward can be listened for is known before any
 * worker hears of it. Each worker has a socket of its own where that is affordable, and the kernel spreads the clients (SO_REUSEPORT).
 */
export class Listeners {
  readonly #libc: RelayLibc;
  readonly #threads: number;
  readonly #inherited: ListeningSocket[];
  readonly #spreads: () => boolean;
  readonly #held = new Map<string, number>();

  /** `spreads`: whether there are descriptors for a socket for each worker. */
  constructor(options: {
    readonly libc: RelayLibc;
    readonly threads: number;
    readonly inherited: readonly ListeningSocket[];
    readonly spreads: () => boolean;
  }) {
    this.#libc = options.libc;
    this.#threads = options.threads;
    this.#inherited = [...options.inherited];
    this.#spreads = options.spreads;
  }

  /** Those that a forward is to have: `had` where they stay, others opened or inherited. `gone`: to be closed once nobody watches them. */
  open(forward: RelayedForward, had: readonly OpenSocket[], draining: DrainingPorts = NONE_DRAINING): Opened {
    const everywhere = new Set([...draining.everywhere, ...this.#watchedElsewhere(had)]);
    const before = Map.groupBy(had, placeKey);
    const sockets: OpenSocket[] = [];
    const fresh: OpenSocket[] = [];
    const taken: ListeningSocket[] = [];
    const undo = () => {
      this.close(fresh);
      for (const socket of taken) this.#hold(socket, -1);
      this.#inherited.push(...taken);
    };
    for (const place of placesOf(forward)) {
      const same = before.get(placeKey(place));
      if (same) {
        sockets.push(...same);
        before.delete(placeKey(place));
        continue;
      }
      const left = this.#takeInherited(place);
      taken.push(...left);
      const opened = this.#openPlace(place, forward, left, { own: draining.own, everywhere });
      if ('failure' in opened) {
        undo();
        return opened;
      }
      fresh.push(...opened.fresh);
      sockets.push(...opened.sockets);
    }
    return { sockets, gone: [...before.values()].flat(), undo };
  }

  close(sockets: readonly ListeningSocket[]): void {
    for (const socket of sockets) this.#hold(socket, -1);
    closeAll(this.#libc, sockets);
  }

  /**
   * Closes TCP listeners, but not on those who wait in their queues: a forward that still listens for them elsewhere carries them. Only
   * a handshake that is half done at this moment is lost.
   */
  replace(gone: readonly OpenSocket[], forward: RelayedForward): readonly Adopted[] {
    const { transports, families, ports } = forward.listen;
    const waited: Adopted[] = [];
    for (const socket of gone) {
      const { port, address, transport, fd } = socket;
      const family = address.includes(':') ? 6 : 4;
      const goesOn = port >= ports.first && port <= ports.last && families.includes(family);
      if (transport === 'tcp' && transports.includes('tcp') && goesOn)
        for (const waiting of acceptAll(this.#libc, fd)) waited.push({ fd: waiting, port });
      this.close([socket]);
    }
    return waited;
  }

  #openPlace(
    place: Place,
    forward: RelayedForward,
    inherited: readonly ListeningSocket[],
    draining: DrainingPorts,
  ): { readonly sockets: readonly OpenSocket[]; readonly fresh: readonly OpenSocket[] } | { readonly failure: ListenFailure } {
    const { ports } = forward.listen;
    const udp = place.transport === 'udp';
    const spread =
      (ports.last - ports.first < MOST_PORTS_SPREAD && this.#spreads()) || (udp && draining.everywhere.has(place.port));
    const wanted = spread ? this.#threads : 1;
    const probes = !this.#held.has(portKey(place)) && !(udp && draining.own.has(place.port));
    const fresh: ListeningSocket[] = [];
    for (const socket of inherited) this.#hold(socket, 1);
    while (inherited.length + fresh.length < wanted) {
      const options: ListenOptions = { ...place, probe: probes && fresh.length === 0 && inherited.length === 0 };
      const opened = openListening(this.#libc, options);
      if ('error' in opened) {
        // Sockets that were inherited do without company where their opener did not allow any.
        if (inherited.length > 0) break;
        this.close(fresh);
        return { failure: listenFailure(place, opened.error) };
      }
      const socket = { ...place, fd: opened.fd };
      this.#hold(socket, 1);
      fresh.push(socket);
    }
    const sockets = this.#share([...inherited, ...fresh]).map((s, i) => ({ ...s, inherited: i < inherited.length }));
    return { sockets, fresh: sockets.slice(inherited.length) };
  }

  /** One for all is watched by all, except at UDP: a client's datagrams must all come to the same worker. */
  #share(sockets: readonly ListeningSocket[]): readonly Omit<OpenSocket, 'inherited'>[] {
    const [only] = sockets;
    if (only && sockets.length === 1 && this.#threads > 1)
      return [{ ...only, worker: only.transport === 'udp' ? this.#workerOf(only) : undefined }];
    return sockets.map((socket, i) => ({ ...socket, worker: i % this.#threads }));
  }

  /** The worker of a UDP port that has one socket. */
  #workerOf({ port }: Place): number {
    return port % this.#threads;
  }

  /** UDP ports of which other workers may keep sockets for clients: these give who is new to a new socket in the same worker. */
  #watchedElsewhere(had: readonly OpenSocket[]): readonly number[] {
    return had.flatMap((s) => (s.transport === 'udp' && s.worker !== this.#workerOf(s) ? [s.port] : []));
  }

  #takeInherited(place: Place): readonly ListeningSocket[] {
    const key = placeKey(place);
    const found = this.#inherited.filter((s) => placeKey(s) === key);
    for (const socket of found) this.#inherited.splice(this.#inherited.indexOf(socket), 1);
    return found;
  }

  #hold(socket: Place, by: number): void {
    const key = portKey(socket);
    const left = (this.#held.get(key) ?? 0) + by;
    if (left > 0) this.#held.set(key, left);
    else this.#held.delete(key);
  }
}

/** Descriptors of a forward's listeners for one worker. */
export const sharedOut = (sockets: readonly OpenSocket[], worker: number) =>
  sockets
    .filter((s) => s.worker === undefined || s.worker === worker)
    .map(({ worker: whose, ...socket }) => ({ ...socket, exclusive: whose === undefined }));

const placeKey = ({ transport, address, port, interface: on }: Place): string => `${transport} ${address} ${port} ${on ?? ''}`;
const portKey = ({ transport, port }: Place): string => `${transport} ${port}`;

function placesOf({ listen }: RelayedForward): readonly Place[] {
  const { address, families, ports, transports } = listen;
  const addresses = address ? [address.text] : families.map((f) => (f === 4 ? '0.0.0.0' : '::'));
  const on = listen.interface === undefined ? {} : { interface: listen.interface };
  const all: Place[] = [];
  for (const transport of transports)
    for (const each of addresses)
      for (let port = ports.first; port <= ports.last; port++) all.push({ transport, address: each, port, ...on });
  return all;
}
