import { connect } from 'node:net';
import type { IpAddress } from '@gwctl/shared/domain/ip';
import type { Clock } from '../clock.js';
import { errorCode } from '../state-dir/atomic-file.js';

/** What a probe found. The words are for people. */
export type ProbeOutcome =
  /** A connection was accepted; how long that took, in microseconds. */
  | { readonly kind: 'up'; readonly rttUs: number }
  | { readonly kind: 'down'; readonly why: string }
  /** This host could not ask, which says nothing about the target. */
  | { readonly kind: 'unable'; readonly why: string };

/** Finds out whether somebody accepts connections. */
export interface Prober {
  /** Never rejects; an outcome comes within the prober's own time. */
  probe(address: IpAddress, port: number): Promise<ProbeOutcome>;
}

/** Milliseconds. A SYN that was lost is sent again after one second (RFC 6298), so one loss alone is no failure. */
export const TIMEOUT = 2000;
/** Milliseconds that a target has to close a connection from its side too. */
const FAREWELL = 1000;

const DOWN: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'refused by the target',
  ECONNRESET: 'reset by the target',
  EHOSTUNREACH: 'no route to host',
  ENETUNREACH: 'network unreachable',
  EHOSTDOWN: 'host is down',
};

const UNABLE: Readonly<Record<string, string>> = {
  EMFILE: 'too many open files in the agent',
  ENFILE: 'too many open files on the gateway',
  EADDRNOTAVAIL: 'no free port or address on the gateway',
  EADDRINUSE: 'no free port on the gateway',
  EPERM: 'a local firewall forbids it',
  EACCES: 'a local firewall or route forbids it',
  ENOBUFS: 'no memory for sockets on the gateway',
  ENOMEM: 'no memory for sockets on the gateway',
};

/**
 * Opens a TCP connection and closes it at once with a FIN, without having sent anything. For hosts where HandshakeProber cannot be had:
 * programs that count connections which come to nothing do count these.
 */
export class TcpProber implements Prober {
  readonly #clock: Clock;
  readonly #timeout: number;

  /** `timeoutMs`: 2,000 unless told. */
  constructor(options: { readonly clock: Clock; readonly timeoutMs?: number }) {
    this.#clock = options.clock;
    this.#timeout = options.timeoutMs ?? TIMEOUT;
  }

  probe(address: IpAddress, port: number): Promise<ProbeOutcome> {
    return new Promise((resolve) => {
      const began = this.#clock.monotonic();
      const socket = connect({ host: address.text, port, family: address.family });
      const timer = this.#clock.after(this.#timeout, () => {
        socket.destroy();
        resolve({ kind: 'down', why: `no answer within ${this.#timeout / 1000} s` });
      });
      socket.once('connect', () => {
        timer.cancel();
        resolve({ kind: 'up', rttUs: Math.max(1, Math.round((this.#clock.monotonic() - began) * 1000)) });
        // A close with unread bytes (a greeting) would be a RST, which servers log as an error: so they are read, up to the target's FIN.
        socket.resume();
        socket.end();
        const farewell = this.#clock.after(FAREWELL, () => socket.destroy());
        socket.once('close', () => farewell.cancel());
      });
      // Stays for the life of the socket: what a target does after it accepted no longer matters.
      socket.on('error', (error) => {
        timer.cancel();
        resolve(outcomeOf(errorCode(error) ?? String(error), this.#timeout));
      });
    });
  }
}

/** What an error of connect(2) says. One that is not known counts as this host's own: it must not take a target out of rotation. */
export function outcomeOf(code: string, timeoutMs: number): ProbeOutcome {
  if (code === 'ETIMEDOUT') return { kind: 'down', why: `no answer within ${timeoutMs / 1000} s` };
  const why = DOWN[code];
  if (why !== undefined) return { kind: 'down', why };
  return { kind: 'unable', why: UNABLE[code] ? `${UNABLE[code]} (${code})` : code };
}
