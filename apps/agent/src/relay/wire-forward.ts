/** A forward as it crosses the control socket: plain JSON with addresses as text, and read strictly where it arrives. */
import { createHash } from 'node:crypto';
import { type Cidr, type Family, formatCidr, type IpAddress, parseCidr, parseIp } from '@gwctl/shared/domain/ip';
import { makePortRange, parsePort } from '@gwctl/shared/domain/ports';
import { Reader } from './json-reader.js';
import type { RelayedForward, RelayTarget, Transport } from './types.js';

/** Characters of a uid; the control plane's have 36. */
const LONGEST_UID = 128;
/** Hex digits of SHA-256 that tell two forwards apart. */
const DIGEST_DIGITS = 24;

/** What is sent, and what stands for it when two processes compare what they have. */
export interface WireForward {
  readonly json: string;
  readonly digest: string;
}

const known = new WeakMap<RelayedForward, WireForward>();

/** Made once for each object: the planner hands on the same one for as long as nothing about it changed. */
export function wireForward(forward: RelayedForward): WireForward {
  const before = known.get(forward);
  if (before) return before;
  const json = JSON.stringify(plain(forward));
  const made = { json, digest: createHash('sha256').update(json).digest('hex').slice(0, DIGEST_DIGITS) };
  known.set(forward, made);
  return made;
}

/** Fields in a fixed order: the text is what is compared. */
function plain(forward: RelayedForward): unknown {
  const { listen, allow, source, ...rest } = forward;
  return {
    uid: rest.uid,
    generation: rest.generation,
    listen: {
      address: listen.address?.text,
      families: [...listen.families],
      interface: listen.interface,
      transports: [...listen.transports],
      first: listen.ports.first,
      last: listen.ports.last,
    },
    targets: rest.targets.map(plainTarget),
    down: rest.down.map(plainTarget),
    affinity: rest.affinity,
    allow: allow?.map(formatCidr),
    source: source?.text,
    onChange: rest.onChange,
    proxyProtocol: rest.proxyProtocol,
    connectTimeout: rest.connectTimeout,
    tcpIdleTimeout: rest.tcpIdleTimeout,
    udpIdleTimeout: rest.udpIdleTimeout,
    maxConnections: rest.maxConnections,
    maxConnectionsPerClient: rest.maxConnectionsPerClient,
  };
}

const plainTarget = ({ address, port, weight }: RelayTarget) => [address.text, port, weight];

/** Throws an AppError that names the field, the value and what is allowed. Fields that nobody here knows are refused too. */
export function readForward(value: unknown): RelayedForward {
  const of = new Reader(value, 'forward');
  const address = of.optional('source', (v, at) => readIp(v, at));
  const proxyProtocol = of.optional('proxyProtocol', (v, at) => Reader.word(v, at, ['v1', 'v2'] as const));
  const allow = of.optional('allow', (v, at) => Reader.list(v, at, readCidr));
  const most = of.optional('maxConnections', atLeastOne);
  const mostPerClient = of.optional('maxConnectionsPerClient', atLeastOne);
  const forward: RelayedForward = {
    uid: of.must('uid', (v, at) => Reader.text(v, at, LONGEST_UID)),
    generation: of.must('generation', (v, at) => Reader.integer(v, at, 0, Number.MAX_SAFE_INTEGER)),
    listen: of.must('listen', readListen),
    targets: of.must('targets', (v, at) => Reader.list(v, at, readTarget)),
    down: of.must('down', (v, at) => Reader.list(v, at, readTarget)),
    affinity: of.must('affinity', (v, at) => Reader.word(v, at, ['none', 'client'] as const)),
    onChange: of.must('onChange', (v, at) => Reader.word(v, at, ['drain', 'cut', 'keep'] as const)),
    connectTimeout: of.must('connectTimeout', atLeastOne),
    tcpIdleTimeout: of.must('tcpIdleTimeout', atLeastOne),
    udpIdleTimeout: of.must('udpIdleTimeout', atLeastOne),
    ...(address ? { source: address } : {}),
    ...(allow ? { allow } : {}),
    ...(proxyProtocol ? { proxyProtocol } : {}),
    ...(most === undefined ? {} : { maxConnections: most }),
    ...(mostPerClient === undefined ? {} : { maxConnectionsPerClient: mostPerClient }),
  };
  of.end();
  if (forward.targets.length === 0) throw Reader.bad('forward.targets', [], 'name at least one target');
  return forward;
}

function readListen(value: unknown, at: string): RelayedForward['listen'] {
  const of = new Reader(value, at);
  const address = of.optional('address', readIp);
  const name = of.optional('interface', (v, a) => Reader.text(v, a, 15));
  const families = of.must('families', (v, a) => Reader.list(v, a, readFamily));
  const transports = of.must('transports', (v, a) => Reader.list(v, a, readTransport));
  const first = of.must('first', readPort);
  const last = of.must('last', readPort);
  of.end();
  const ports = makePortRange(first, last);
  if (!ports.ok) throw Reader.bad(`${at}.last`, last, ports.error);
  if (transports.length === 0) throw Reader.bad(`${at}.transports`, transports, 'name tcp, udp or both');
  if (families.length === 0) throw Reader.bad(`${at}.families`, families, 'name 4, 6 or both');
  return {
    ...(address ? { address } : {}),
    families,
    ...(name === undefined ? {} : { interface: name }),
    transports,
    ports: ports.value,
  };
}

function readTarget(value: unknown, at: string): RelayTarget {
  if (!Array.isArray(value) || value.length !== 3) throw Reader.bad(at, value, 'write [address, port, weight]');
  return {
    address: readIp(value[0], `${at}[0]`),
    port: readPort(value[1], `${at}[1]`),
    weight: Reader.integer(value[2], `${at}[2]`, 1, 1_000_000),
  };
}

function readIp(value: unknown, at: string): IpAddress {
  const parsed = parseIp(Reader.text(value, at, 64));
  if (!parsed.ok) throw Reader.bad(at, value, parsed.error);
  return parsed.value;
}

function readCidr(value: unknown, at: string): Cidr {
  const parsed = parseCidr(Reader.text(value, at, 64));
  if (!parsed.ok) throw Reader.bad(at, value, parsed.error);
  return parsed.value;
}

function readPort(value: unknown, at: string): number {
  const parsed = parsePort(Reader.integer(value, at, 1, 65_535));
  if (!parsed.ok) throw Reader.bad(at, value, parsed.error);
  return parsed.value;
}

function readFamily(value: unknown, at: string): Family {
  if (value === 4 || value === 6) return value;
  throw Reader.bad(at, value, 'use 4 or 6');
}

export const readTransport = (value: unknown, at: string): Transport => Reader.word(value, at, ['tcp', 'udp'] as const);

const atLeastOne = (value: unknown, at: string): number => Reader.integer(value, at, 1, Number.MAX_SAFE_INTEGER);
