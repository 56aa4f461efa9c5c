/** What lab and traffic process say to each other: JSON lines. Types only, so that the process can be started on its own. */

export type TransportProtocol = 'tcp' | 'udp';

/** Where a who-server listens. TCP may use a wildcard address; UDP may not, it must answer from the address asked. */
export interface ListenerAddress {
  proto: TransportProtocol;
  address: string;
  port: number;
}

/** How the who-server saw a request: which of its addresses was asked, and from where. IPv6 as `[::1]:80`. */
export interface WhoAnswer {
  local: string;
  peer: string;
}

/**
 * timeout: no answer. refused: RST or ICMP port unreachable. reset: cut after it was there. closed: ended in good order
 * without an answer. unreachable: ICMP unreachable or prohibited, or no route.
 */
export type NoAnswer = 'timeout' | 'refused' | 'reset' | 'closed' | 'unreachable';

export interface FlowTarget {
  proto: TransportProtocol;
  to: string;
  port: number;
  /** Source address; default: as the route says. */
  from?: string;
  /** Source port; default: any. */
  sourcePort?: number;
  /** For the connection and for the answer, each. Default 1000. */
  timeoutMs?: number;
}

export type TrafficCommand =
  | { op: 'serve'; listeners: ListenerAddress[] }
  | { op: 'unserve'; server: number; flows: 'keep' | 'reset' }
  | ({ op: 'open' } & FlowTarget)
  | { op: 'echo'; flow: number; text: string; timeoutMs: number }
  | { op: 'close'; flow: number; how: 'end' | 'reset' };

export type TrafficRequest = TrafficCommand & { id: number };

export interface OpenedFlow {
  flow: number;
  answer: WhoAnswer;
}

export type TrafficResponse = { id: number; result: unknown } | { id: number; error: string };
