/**
 * The system calls of the load, made directly: a generator that costs little leaves the processors to what is measured. The same
 * library as the agent's, asked for as the agent asks for it.
 */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { checkout } from '../e2e/checkout.js';

interface Koffi {
  load(name: string): { func(prototype: string): (...args: (number | bigint | Buffer | null)[]) => number };
  errno(): number;
  alloc(type: string, count: number): bigint;
  view(at: bigint, length: number): ArrayBuffer;
}

const koffi = createRequire(join(checkout, 'apps/agent/package.json'))('koffi') as Koffi;
const lib = koffi.load('libc.so.6');

export const socket = lib.func('int socket(int, int, int)');
export const setsockopt = lib.func('int setsockopt(int, int, int, void *, uint32_t)');
export const bind = lib.func('int bind(int, void *, uint32_t)');
export const listen = lib.func('int listen(int, int)');
export const accept4 = lib.func('int accept4(int, void *, void *, int)');
export const connect = lib.func('int connect(int, void *, uint32_t)');
export const close = lib.func('int close(int)');
export const send = lib.func('int64 send(int, void *, uint64, int)');
export const recv = lib.func('int64 recv(int, void *, uint64, int)');
export const recvmmsg = lib.func('int recvmmsg(int, void *, uint32_t, int, void *)');
export const sendmmsg = lib.func('int sendmmsg(int, void *, uint32_t, int)');
const fcntl = lib.func('int fcntl(int, int, int)');
const epollCreate = lib.func('int epoll_create1(int)');
const epollCtl = lib.func('int epoll_ctl(int, int, int, void *)');
const epollWait = lib.func('int epoll_wait(int, void *, int, int)');

export const AF_INET = 2;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_NONBLOCK = 0x800;
export const IPPROTO_TCP = 6;
export const MSG_TRUNC = 0x20;
export const MSG_DONTWAIT = 0x40;
export const EAGAIN = 11;
export const EPOLLIN = 0x1;
export const EPOLLOUT = 0x4;
export const EPOLLERR = 0x8;
export const EPOLLHUP = 0x10;
export const EPOLLET = 0x80000000;

export const errno = (): number => koffi.errno();

/** @throws Error with the number of the error when a call failed */
export function must(result: number, call: string): number {
  if (result < 0) throw new Error(`${call} failed with errno ${koffi.errno()}`);
  return result;
}

/** Memory that stays where it is: its address costs nothing to hand over. Never freed. */
export function memory(bytes: number): { readonly at: bigint; readonly buffer: Buffer } {
  const at = koffi.alloc('uint8_t', bytes);
  const buffer = Buffer.from(koffi.view(at, bytes));
  buffer.fill(0);
  return { at, buffer };
}

/** A struct sockaddr_in. */
export function address(ip: string, port: number): Buffer {
  const at = Buffer.alloc(16);
  at.writeUInt16LE(AF_INET, 0);
  at.writeUInt16BE(port, 2);
  Buffer.from(ip.split('.').map(Number)).copy(at, 4);
  return at;
}

const SOL_SOCKET = 1;
export const SO_REUSEADDR = 2;
export const SO_RCVBUF = 8;
export const SO_LINGER = 13;
const SO_RCVTIMEO = 20;

export function setInt(fd: number, option: number, value: number, level = SOL_SOCKET): void {
  must(setsockopt(fd, level, option, Buffer.from(Int32Array.of(value).buffer), 4), 'setsockopt');
}

const [F_SETFL, O_NONBLOCK] = [4, 0x800];
export const setNonBlocking = (fd: number): void => void must(fcntl(fd, F_SETFL, O_NONBLOCK), 'fcntl');

const TCP_NODELAY = 1;
export const noDelay = (fd: number): void => setInt(fd, TCP_NODELAY, 1, IPPROTO_TCP);

/** A TCP socket that does not block and is on its way; nobody waits for it here. `from`: its own address, port 0 for any. */
export function connecting(to: Buffer, from?: Buffer): number {
  const fd = must(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), 'socket');
  if (from) {
    setInt(fd, SO_REUSEADDR, 1);
    must(bind(fd, from, 16), 'bind');
  }
  connect(fd, to, 16);
  return fd;
}

/** The next close sends a reset, which leaves nothing behind on either side. */
export function abortAtClose(fd: number): void {
  must(setsockopt(fd, SOL_SOCKET, SO_LINGER, Buffer.from(Int32Array.of(1, 0).buffer), 8), 'setsockopt');
}

/** recv(2) gives up after this long. */
export function receiveTimeout(fd: number, milliseconds: number): void {
  const time = BigInt64Array.of(BigInt(Math.floor(milliseconds / 1000)), BigInt((milliseconds % 1000) * 1000));
  must(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, Buffer.from(time.buffer), 16), 'setsockopt');
}

const EVENTS = 512;

/** An epoll; descriptors come back with their events. */
export class Poll {
  readonly #fd = must(epollCreate(0), 'epoll_create1');
  readonly #ready = memory(12 * EVENTS);
  readonly #event = memory(12);

  add(fd: number, events: number): void {
    this.#ctl(1, fd, events);
  }

  /** Waits at most so long (-1: for ever) and gives each that is ready to `on`. */
  wait(milliseconds: number, on: (fd: number, events: number) => void): void {
    const n = epollWait(this.#fd, this.#ready.at, EVENTS, milliseconds);
    const { buffer } = this.#ready;
    for (let i = 0; i < n; i++) on(buffer.readInt32LE(i * 12 + 4), buffer.readUInt32LE(i * 12));
  }

  close(): void {
    close(this.#fd);
  }

  #ctl(operation: number, fd: number, events: number): void {
    const { at, buffer } = this.#event;
    buffer.writeUInt32LE(events >>> 0, 0);
    buffer.writeInt32LE(fd, 4);
    must(epollCtl(this.#fd, operation, fd, at), 'epoll_ctl');
  }
}

/** `count` messages of `bytes` for recvmmsg(2) and sendmmsg(2): struct mmsghdr is 64 bytes, its message's length is at 56. */
export class Messages {
  readonly at: bigint;
  readonly #headers: Buffer;
  readonly #vectors: Buffer;

  readonly count: number;
  readonly bytes: number;
  readonly named: boolean;

  // Node.js runs this file from source, too, and takes no properties among parameters.
  constructor(count: number, bytes: number, named: boolean) {
    this.count = count;
    this.bytes = bytes;
    this.named = named;
    const headers = memory(64 * count);
    const vectors = memory(16 * count);
    const names = memory(16 * count);
    const data = memory(bytes * count);
    for (let i = 0; i < count; i++) {
      vectors.buffer.writeBigUInt64LE(data.at + BigInt(i * bytes), i * 16);
      vectors.buffer.writeBigUInt64LE(BigInt(bytes), i * 16 + 8);
      if (named) headers.buffer.writeBigUInt64LE(names.at + BigInt(i * 16), i * 64);
      headers.buffer.writeUInt32LE(named ? 16 : 0, i * 64 + 8);
      headers.buffer.writeBigUInt64LE(vectors.at + BigInt(i * 16), i * 64 + 16);
      headers.buffer.writeBigUInt64LE(1n, i * 64 + 24);
    }
    this.at = headers.at;
    this.#headers = headers.buffer;
    this.#vectors = vectors.buffer;
  }

  /** What was received is to be sent back as it is. */
  answerWithLength(i: number): void {
    this.#vectors.writeUInt32LE(this.#headers.readUInt32LE(i * 64 + 56), i * 16 + 8);
  }

  /** Makes room for the next one received. */
  reset(i: number): void {
    this.#vectors.writeUInt32LE(this.bytes, i * 16 + 8);
    this.#headers.writeUInt32LE(this.named ? 16 : 0, i * 64 + 8);
  }
}
