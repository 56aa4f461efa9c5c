/**
 * What goes over a relay's channel while it starts, one JSON line each way: what it is to go on with, and then that it listens. Whoever
 * starts a relay talks to it so, an agent with nothing to hand over and a predecessor with all it has.
 */
import { closeSync, fstatSync } from 'node:fs';
import type { Socket } from 'node:net';
import { AppError } from '@gwctl/shared/errors/app-error';
import type { ListeningSocket } from '../engine.js';
import { Reader } from '../json-reader.js';
import { LineCutter } from '../lines.js';
import { parseJson } from '../protocol.js';
import { readTransport } from '../wire-forward.js';
import type { Wanted } from './carried.js';

/** Raised when an older relay could not hand over to a newer one as it does now. */
const FORMAT = 1;
/** Bytes: forwards by the ten thousand with long allow-lists. */
const LONGEST_LEGACY = 512 * 1024 * 1024;

export interface Legacy {
  /** Whoever starts it is a relay that lets go once it listens, maybe with nothing to hand over. */
  readonly succeeds: boolean;
  /** Descriptors as they are in the successor. */
  readonly sockets: readonly ListeningSocket[];
  readonly forwards: readonly Wanted[];
}

export const NOTHING: Legacy = { succeeds: false, sockets: [], forwards: [] };

export type Started = { readonly ready: true } | { readonly ready: false; readonly reason: string; readonly message: string };

/** `forwards` as JSON texts. */
export function legacyLine(legacy: {
  readonly succeeds: boolean;
  readonly sockets: readonly ListeningSocket[];
  readonly forwards: readonly { readonly json: string; readonly digest: string }[];
}): string {
  const forwards = legacy.forwards.map(({ json, digest }) => `{"forward":${json},"digest":${JSON.stringify(digest)}}`);
  return `{"format":${FORMAT},"succeeds":${legacy.succeeds},"sockets":${JSON.stringify(legacy.sockets)},"forwards":[${forwards.join(',')}]}\n`;
}

export function readLegacy(line: string): Legacy {
  const of = new Reader(parseJson(line), 'legacy');
  of.must('format', (v, at) => Reader.integer(v, at, FORMAT, FORMAT));
  const succeeds = of.must('succeeds', Reader.flag);
  const sockets = of.must('sockets', (v, at) => Reader.list(v, at, readSocket));
  const forwards = of.must('forwards', (v, at) => Reader.list(v, at, readWanted));
  of.end();
  return { succeeds, sockets, forwards };
}

function readSocket(value: unknown, at: string): ListeningSocket {
  const of = new Reader(value, at);
  const name = of.optional('interface', (v, a) => Reader.text(v, a, 15));
  const socket = {
    transport: of.must('transport', readTransport),
    address: of.must('address', (v, a) => Reader.text(v, a, 64)),
    port: of.must('port', (v, a) => Reader.integer(v, a, 1, 65_535)),
    fd: of.must('fd', (v, a) => Reader.integer(v, a, 3, 2 ** 31 - 1)),
    ...(name === undefined ? {} : { interface: name }),
  };
  of.end();
  return socket;
}

function readWanted(value: unknown, at: string): Wanted {
  const of = new Reader(value, at);
  const wanted = { forward: of.must('forward', (v) => v), digest: of.must('digest', (v, a) => Reader.text(v, a, 128)) };
  of.end();
  return wanted;
}

export const startedLine = (started: Started): string => `${JSON.stringify(started)}\n`;

export function readStarted(line: string): Started {
  const of = new Reader(parseJson(line), 'started');
  if (of.must('ready', Reader.flag)) return { ready: true };
  const reason = of.must('reason', (v, at) => Reader.text(v, at, 100));
  return { ready: false, reason, message: of.must('message', (v, at) => Reader.text(v, at, 100_000)) };
}

/** The next line that arrives; rejects with CHANNEL_CLOSED where the other side ends instead. */
export function nextLine(channel: Socket): Promise<string> {
  const lines = new LineCutter(LONGEST_LEGACY);
  return new Promise((resolve, reject) => {
    const done = (end: () => void) => {
      channel.off('data', onData).off('close', onClose).off('error', onClose);
      channel.pause();
      end();
    };
    const onData = (chunk: Buffer) => {
      try {
        const [line] = lines.push(chunk);
        if (line !== undefined) done(() => resolve(line));
      } catch (error) {
        done(() => reject(error));
      }
    };
    const onClose = () => done(() => reject(closed()));
    channel.on('data', onData).on('close', onClose).on('error', onClose);
  });
}

const closed = () =>
  new AppError({ code: 'UNAVAILABLE', reason: 'CHANNEL_CLOSED', message: 'the process at the other end of the channel is gone' });

/** What was inherited, so that what nobody took can be told from what meanwhile took its number. */
export class Inherited {
  readonly #inodes: ReadonlyMap<number, bigint>;

  constructor(sockets: readonly ListeningSocket[]) {
    this.#inodes = new Map(sockets.map(({ fd }) => [fd, fstatSync(fd, { bigint: true }).ino]));
  }

  /** Closes those that are not in use. */
  closeUnused(inUse: readonly ListeningSocket[]): number {
    const used = new Set(inUse.map((s) => s.fd));
    let closedOnes = 0;
    for (const [fd, inode] of this.#inodes) {
      if (used.has(fd) || inodeOf(fd) !== inode) continue;
      closeSync(fd);
      closedOnes++;
    }
    return closedOnes;
  }
}

function inodeOf(fd: number): bigint | undefined {
  try {
    return fstatSync(fd, { bigint: true }).ino;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EBADF') return undefined;
    throw error;
  }
}
