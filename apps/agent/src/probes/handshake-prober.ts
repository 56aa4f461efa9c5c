import type { IpAddress } from '@gwctl/shared/domain/ip';
import type { Clock, Timer } from '../clock.js';
import type { HandshakeSockets } from '../system/handshake-sockets.js';
import { outcomeOf, type ProbeOutcome, type Prober, TIMEOUT } from './prober.js';

/** How often it is looked, in milliseconds: for the answers of a network nearby, and while all that is left is older than that. */
const LOOK = 5;
const LOOK_LATER = 50;
const NEARBY = 50;

interface Open {
  readonly began: number;
  readonly resolve: (outcome: ProbeOutcome) => void;
}

/**
 * Sends a SYN and breaks the handshake off when the SYN and ACK of the target is there. The target's program never hears of it, so there
 * is nothing for it to log or to count: MariaDB and MySQL lock out an address after 100 connections (max_connect_errors) that ended
 * before they logged in, which for a gateway that masquerades is the address of all of its clients.
 */
export class HandshakeProber implements Prober {
  readonly #clock: Clock;
  readonly #sockets: HandshakeSockets;
  readonly #timeout: number;
  readonly #open = new Map<number, Open>();
  #look: Timer | undefined;

  /** `timeoutMs`: 2,000 unless told. */
  constructor(options: { readonly clock: Clock; readonly sockets: HandshakeSockets; readonly timeoutMs?: number }) {
    this.#clock = options.clock;
    this.#sockets = options.sockets;
    this.#timeout = options.timeoutMs ?? TIMEOUT;
  }

  probe(address: IpAddress, port: number): Promise<ProbeOutcome> {
    const opened = this.#sockets.open(address, port);
    if ('error' in opened) return Promise.resolve(outcomeOf(opened.error, this.#timeout));
    return new Promise((resolve) => {
      this.#open.set(opened.fd, { began: this.#clock.monotonic(), resolve });
      this.#look?.cancel();
      this.#lookIn(LOOK);
    });
  }

  #lookIn(ms: number): void {
    this.#look = this.#clock.after(ms, () => {
      this.#settle();
      const now = this.#clock.monotonic();
      const ages = [...this.#open.values()].map(({ began }) => now - began);
      if (ages.length > 0) this.#lookIn(Math.min(...ages) < NEARBY ? LOOK : LOOK_LATER);
      else this.#look = undefined;
    });
  }

  #settle(): void {
    for (const fd of this.#sockets.settled([...this.#open.keys()])) {
      const result = this.#sockets.outcome(fd);
      if ('error' in result) this.#end(fd, outcomeOf(result.error, this.#timeout));
      else this.#end(fd, { kind: 'up', rttUs: result.rttUs || this.#age(fd) * 1000 });
    }
    for (const fd of [...this.#open.keys()])
      if (this.#age(fd) >= this.#timeout) this.#end(fd, outcomeOf('ETIMEDOUT', this.#timeout));
  }

  #age(fd: number): number {
    return Math.max(1, Math.round(this.#clock.monotonic() - (this.#open.get(fd)?.began ?? 0)));
  }

  #end(fd: number, outcome: ProbeOutcome): void {
    const open = this.#open.get(fd);
    this.#open.delete(fd);
    this.#sockets.close(fd);
    open?.resolve(outcome);
  }
}
