import { ECONNREFUSED, EHOSTUNREACH, EMSGSIZE, ENETUNREACH, EPROTO } from './constants.js';

/** What a {@link ./send-batch.js SendBatch.flush} tells; `owner` as {@link ./send-batch.js SendBatch.own} said it. */
export interface SendOutcome<T> {
  /** The kernel did not take them. A datagram that met an error of an earlier one was sent again and is not among them. */
  lost(owner: T, bytes: number, datagrams: number, errno: number): void;
  /** What an ICMP message said of an earlier datagram to the receiver of a connected socket. */
  told(owner: T, errno: number): void;
  /** The kernel or the interface would not cut a message apart; its datagrams were sent one by one. */
  uncut(owner: T): void;
}

/** Whether a call may report with this errno what an ICMP message said of an earlier datagram. */
export const isOfEarlier = (errno: number): boolean =>
  errno === ECONNREFUSED || errno === EHOSTUNREACH || errno === ENETUNREACH || errno === EMSGSIZE || errno === EPROTO;
