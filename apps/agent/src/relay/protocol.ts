/**
 * What agent and relay say to each other over the control socket: one JSON object a line. A request has an `id` and an `op`; its answer
 * has the same id and either `ok` or `error`, after any number of `part`s. What nobody asked for has `event`. Both ends read strictly.
 */
import type { EngineUse, ForwardCounts, ListenFailure, RelayFlow, TargetCounts } from './engine.js';
import { Reader } from './json-reader.js';
import { readTransport } from './wire-forward.js';

/** Both sides must speak the same; a relay with another one is replaced. */
export const PROTOCOL = 1;

/** Forwards or uids in one request; rows in one part of an answer. */
export const BATCH = 256;

export interface Hello {
  readonly protocol: number;
  /** What program it runs: see build-id.ts. */
  readonly build: string;
  readonly engine: 'native' | 'portable';
  /** Why this engine, for people. */
  readonly why: string;
  readonly pid: number;
  /** Milliseconds since the epoch. */
  readonly started: number;
  /** It accepts nothing more and ends with its last flow. */
  readonly draining: boolean;
}

/** What a relay carries of one forward. */
export interface CarriedRow {
  readonly uid: string;
  readonly generation: number;
  /** Of the forward as it was sent (see wire-forward.ts). */
  readonly digest: string;
  /** Listeners of it that are not open although they should be: `tcp 0.0.0.0:80`. */
  readonly dead: readonly string[];
  /** Targets that a connection was tried to. */
  readonly targets: readonly TargetCounts[];
}

export type FailureReason = ListenFailure['reason'] | 'FORWARD_INVALID';

/** A forward that could not be carried as sent; what was there of it before goes on. */
export interface SetFailure {
  readonly uid: string;
  readonly reason: FailureReason;
  readonly message: string;
}

/** Why a relay ends, or lets go of its listeners. */
export type EndingReason = 'idle' | 'asked' | 'signal' | 'upgraded';

export type RelayEvent =
  | { readonly event: 'changed'; readonly uids: readonly string[] }
  | { readonly event: 'use'; readonly use: EngineUse }
  | { readonly event: 'ending'; readonly why: EndingReason };

export type Request =
  | { readonly op: 'hello' }
  /** Each with the digest that stands for it. */
  | { readonly op: 'set'; readonly forwards: readonly { readonly forward: unknown; readonly digest: string }[] }
  | { readonly op: 'remove'; readonly uids: readonly string[] }
  /** Of all, or of these. */
  | { readonly op: 'list'; readonly uids?: readonly string[] }
  | { readonly op: 'counts' }
  | { readonly op: 'flows'; readonly uid?: string; readonly most: number }
  | { readonly op: 'use' }
  /** Starts this program as the successor, hands it the listeners, and drains. */
  | { readonly op: 'upgrade'; readonly program: string; readonly args: readonly string[] }
  | { readonly op: 'stop' };

export interface Upgraded {
  /** Of the successor. */
  readonly pid: number;
}

export interface NumberedRequest {
  readonly id: number;
  readonly request: Request;
}

const uidText = (v: unknown, at: string) => Reader.text(v, at, 128);
const digestText = (v: unknown, at: string) => Reader.text(v, at, 128);
const count = (v: unknown, at: string) => Reader.integer(v, at, 0, Number.MAX_SAFE_INTEGER);

/** Throws MESSAGE_INVALID. */
export function readRequest(line: string): NumberedRequest {
  const of = new Reader(parseJson(line), 'request');
  const id = of.must('id', count);
  const op = of.must('op', (v, at) => Reader.text(v, at, 20));
  const request = readOp(op, of);
  of.end();
  return { id, request };
}

function readOp(op: string, of: Reader): Request {
  switch (op) {
    case 'hello':
    case 'counts':
    case 'use':
    case 'stop':
      return { op };
    case 'set':
      return { op, forwards: of.must('forwards', (v, at) => Reader.list(v, at, readDigested)) };
    case 'remove':
      return { op, uids: of.must('uids', (v, at) => Reader.list(v, at, uidText)) };
    case 'list': {
      const uids = of.optional('uids', (v, at) => Reader.list(v, at, uidText));
      return { op, ...(uids ? { uids } : {}) };
    }
    case 'flows': {
      const uid = of.optional('uid', uidText);
      return { op, most: of.must('most', count), ...(uid === undefined ? {} : { uid }) };
    }
    case 'upgrade': {
      const word = (v: unknown, at: string) => Reader.text(v, at, 4096);
      return { op, program: of.must('program', word), args: of.must('args', (v, at) => Reader.list(v, at, word)) };
    }
    default:
      throw Reader.bad('request.op', op, 'use hello, set, remove, list, counts, flows, use, upgrade or stop');
  }
}

function readDigested(value: unknown, at: string) {
  const of = new Reader(value, at);
  // The forward itself is read one by one where it is carried out: a bad one concerns no other.
  const read = { forward: of.must('forward', (v) => v), digest: of.must('digest', digestText) };
  of.end();
  return read;
}

/** What came back: a part of an answer, its end, or an event. */
export type Received =
  | { readonly kind: 'part'; readonly id: number; readonly rows: readonly unknown[] }
  | { readonly kind: 'ok'; readonly id: number; readonly value: unknown }
  | { readonly kind: 'error'; readonly id: number; readonly reason: string; readonly message: string }
  | { readonly kind: 'event'; readonly event: RelayEvent };

/** Throws MESSAGE_INVALID. */
export function readReceived(line: string): Received {
  const of = new Reader(parseJson(line), 'answer');
  const event = of.optional('event', (v, at) => Reader.text(v, at, 20));
  if (event !== undefined) return { kind: 'event', event: readEvent(event, of) };
  const id = of.must('id', count);
  const rows = of.optional('part', (v, at) => Reader.list(v, at, (row) => row));
  if (rows) return { kind: 'part', id, rows };
  const error = of.optional('error', (v) => new Reader(v, 'answer.error'));
  if (!error) return { kind: 'ok', id, value: of.must('ok', (v) => v) };
  const reason = error.must('reason', (v, at) => Reader.text(v, at, 100));
  return { kind: 'error', id, reason, message: error.must('message', (v, at) => Reader.text(v, at, 100_000)) };
}

function readEvent(event: string, of: Reader): RelayEvent {
  switch (event) {
    case 'changed':
      return { event, uids: of.must('uids', (v, at) => Reader.list(v, at, uidText)) };
    case 'use':
      return { event, use: of.must('use', (v) => readUse(v)) };
    case 'ending':
      return {
        event,
        why: of.must('why', (v, at) => Reader.word(v, at, ['idle', 'asked', 'signal', 'upgraded'] as const)),
      };
    default:
      throw Reader.bad('answer.event', event, 'use changed, use or ending');
  }
}

/** Of a relay of another version too, as far as it says the same: so no surplus field is refused. */
export function readHello(value: unknown): Hello {
  const of = new Reader(value, 'hello');
  return {
    protocol: of.must('protocol', count),
    build: of.must('build', (v, at) => Reader.text(v, at, 200)),
    engine: of.must('engine', (v, at) => Reader.word(v, at, ['native', 'portable'] as const)),
    why: of.must('why', (v, at) => Reader.text(v, at, 10_000)),
    pid: of.must('pid', count),
    started: of.must('started', Reader.number),
    draining: of.must('draining', Reader.flag),
  };
}

export function readUse(value: unknown): EngineUse {
  const of = new Reader(value, 'use');
  return {
    connections: of.must('connections', count),
    clients: of.must('clients', count),
    pipes: of.must('pipes', count),
    descriptors: of.must('descriptors', count),
    descriptorLimit: of.must('descriptorLimit', count),
    paused: of.must('paused', Reader.flag),
  };
}

export function readCarried(value: unknown): CarriedRow {
  const of = new Reader(value, 'carried');
  return {
    uid: of.must('uid', uidText),
    generation: of.must('generation', count),
    digest: of.must('digest', digestText),
    dead: of.must('dead', (v, at) => Reader.list(v, at, (text, a) => Reader.text(text, a, 200))),
    targets: of.must('targets', (v, at) => Reader.list(v, at, readTarget)),
  };
}

export function readSetFailure(value: unknown): SetFailure {
  const of = new Reader(value, 'failure');
  return {
    uid: of.must('uid', uidText),
    reason: of.must('reason', (v, at) => Reader.word(v, at, FAILURES)),
    message: of.must('message', (v, at) => Reader.text(v, at, 10_000)),
  };
}

const FAILURES = [
  'PORT_IN_USE',
  'PORT_NOT_PERMITTED',
  'ADDRESS_UNKNOWN',
  'INTERFACE_UNKNOWN',
  'LISTEN_FAILED',
  'FORWARD_INVALID',
] as const satisfies readonly FailureReason[];

export function readCounts(value: unknown): ForwardCounts {
  const of = new Reader(value, 'counts');
  return {
    uid: of.must('uid', uidText),
    bytes: of.must('bytes', Reader.number),
    datagrams: of.must('datagrams', Reader.number),
    flows: of.must('flows', Reader.number),
    refused: of.must('refused', Reader.number),
    limited: of.must('limited', Reader.number),
    failed: of.must('failed', Reader.number),
    open: of.must('open', Reader.number),
    targets: of.must('targets', (v, at) => Reader.list(v, at, readTarget)),
  };
}

function readTarget(value: unknown, at: string): TargetCounts {
  const of = new Reader(value, at);
  const trouble = of.optional('trouble', (v, a) => Reader.text(v, a, 10_000));
  const rttUs = of.optional('rttUs', Reader.number);
  return {
    address: of.must('address', (v, a) => Reader.text(v, a, 64)),
    port: of.must('port', count),
    open: of.must('open', count),
    health: of.must('health', (v, a) => Reader.word(v, a, ['unknown', 'healthy', 'unhealthy'] as const)),
    ...(trouble === undefined ? {} : { trouble }),
    ...(rttUs === undefined ? {} : { rttUs }),
  };
}

export function readFlow(value: unknown): RelayFlow {
  const of = new Reader(value, 'flow');
  const text = (field: string) => of.must(field, (v, at) => Reader.text(v, at, 128));
  const number = (field: string) => of.must(field, Reader.number);
  return {
    uid: text('uid'),
    transport: of.must('transport', readTransport),
    client: text('client'),
    listener: text('listener'),
    source: text('source'),
    target: text('target'),
    age: number('age'),
    idle: number('idle'),
    bytesToTarget: number('bytesToTarget'),
    bytesToClient: number('bytesToClient'),
  };
}

export function readUpgraded(value: unknown): Upgraded {
  return { pid: new Reader(value, 'upgraded').must('pid', count) };
}

export function parseJson(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    throw Reader.bad('message', line, 'write one JSON object a line');
  }
}
