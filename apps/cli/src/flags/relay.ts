/** The flags of what only the relay can do. */
import { type ProxyProtocol, type RawRelayOptions, RELAY_NUMBERS } from '@gwctl/shared/domain/relay-options';
import { err, ok, quote, type Result } from '@gwctl/shared/domain/result';
import { value } from '../command/definition.js';
import { parseChoice } from './choice.js';
import { formatDuration, parseSeconds } from './duration.js';

const PROXY_PROTOCOLS = ['none', 'v1', 'v2'] as const satisfies readonly ProxyProtocol[];

type NumberKey = keyof typeof RELAY_NUMBERS;

/** Reads a time-out: whole seconds, 0 for the default. */
const parseTimeout =
  (key: NumberKey) =>
  (text: string): Result<number, string> => {
    if (text === 'default' || text === 'none' || text === '0') return ok(0);
    const seconds = parseSeconds(text);
    if (!seconds.ok) return seconds;
    const { most } = RELAY_NUMBERS[key];
    return seconds.value <= most
      ? seconds
      : err(`${quote(text)} is too long; write 1s to ${formatDuration(most * 1000)}, or default`);
  };

/** Reads how many at most: 0 for no limit. */
const parseMost =
  (key: NumberKey) =>
  (text: string): Result<number, string> => {
    if (text === 'default' || text === 'none') return ok(0);
    const { most } = RELAY_NUMBERS[key];
    return /^\d{1,9}$/.test(text) && Number(text) <= most
      ? ok(Number(text))
      : err(`${quote(text)} is not a limit; write a whole number from 1 to ${most}, or none`);
  };

export const relayOptions = {
  proxyProtocol: value({
    placeholder: PROXY_PROTOCOLS.join('|'),
    summary: "Relay only: the header of the PROXY protocol that tells the target the client's address (default none)",
    parse: parseChoice(PROXY_PROTOCOLS, 'a version of the PROXY protocol'),
    complete: PROXY_PROTOCOLS,
  }),
  connectTimeout: value({
    placeholder: 'DURATION|default',
    summary: 'Relay only: how long a target may take to answer a connect (default 5s, up to 5m)',
    parse: parseTimeout('connectTimeout'),
    complete: ['default'],
  }),
  tcpIdleTimeout: value({
    placeholder: 'DURATION|default',
    summary: 'Relay only: end a TCP connection on which nothing moves for this long (default 24h, up to 7d)',
    parse: parseTimeout('tcpIdleTimeout'),
    complete: ['default'],
  }),
  udpIdleTimeout: value({
    placeholder: 'DURATION|default',
    summary: 'Relay only: forget a UDP client that is silent for this long (default 60s, up to 24h)',
    parse: parseTimeout('udpIdleTimeout'),
    complete: ['default'],
  }),
  maxConnections: value({
    placeholder: 'N|none',
    summary:
      'Relay only: the most connections at a time, clients over UDP among them (default none: as many as the gateway can hold)',
    parse: parseMost('maxConnections'),
    complete: ['none'],
  }),
  maxConnectionsPerClient: value({
    placeholder: 'N|none',
    summary: 'Relay only: the same for each address of a client (default none)',
    parse: parseMost('maxConnectionsPerClient'),
    complete: ['none'],
  }),
};

/** What the flags ask of the relay; what is not given is the default. */
export const relayOf = (o: { readonly [K in keyof RawRelayOptions]: RawRelayOptions[K] | undefined }): RawRelayOptions => ({
  proxyProtocol: o.proxyProtocol ?? 'none',
  connectTimeout: o.connectTimeout ?? 0,
  tcpIdleTimeout: o.tcpIdleTimeout ?? 0,
  udpIdleTimeout: o.udpIdleTimeout ?? 0,
  maxConnections: o.maxConnections ?? 0,
  maxConnectionsPerClient: o.maxConnectionsPerClient ?? 0,
});
