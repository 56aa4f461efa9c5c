import { createSocket, type Socket } from 'node:dgram';
import koffi from 'koffi';
import { afterEach, describe, expect, it } from 'vitest';
import { Block } from './block.js';
import { AF_INET, EBADF, ECONNREFUSED, EINVAL, SOCK_DGRAM, SOCK_NONBLOCK } from './constants.js';
import { type DatagramCalls, loadDatagramCalls } from './datagram-calls.js';
import { CONTROL_LENGTH, MESSAGE_BYTES } from './message-layout.js';
import { ReceiveBatch } from './receive-batch.js';
import { loadRelayLibc } from './relay-libc.js';
import { SendBatch } from './send-batch.js';
import type { SendOutcome } from './send-outcome.js';
import { packSocketAddress, portOf } from './socket-address.js';

const libc = loadRelayLibc();
const calls = loadDatagramCalls();
const closers: (() => void)[] = [];

afterEach(() => {
  for (const close of closers.splice(0)) close();
});

/** What a flush told, in order. */
class Told implements SendOutcome<string> {
  readonly words: string[] = [];

  lost(owner: string, bytes: number, datagrams: number, errno: number): void {
    this.words.push(`${owner} lost ${datagrams} of ${bytes} bytes: ${errno}`);
  }

  told(owner: string, errno: number): void {
    this.words.push(`${owner} told ${errno}`);
  }

  uncut(owner: string): void {
    this.words.push(`${owner} uncut`);
  }
}

describe('batches of datagrams', () => {
  it('arrive as they were added: each whole, in order, whatever was joined on the way', async () => {
    const { fd, target } = await connected();
    const lengths = [64, 64, 64, 10, 0, 64, 1200, 1200, 1200, 1199, 1200, 1453, 1453, 9000, 65_507, 1, 1, 1, 0, 0, 2];
    const arrived = take(target, lengths.length);
    const { batch, told, counting } = sending();
    const data = pattern();
    for (const [i, length] of lengths.entries()) if (batch.add(data.address + i, length, true)) batch.own('it');
    batch.flush(fd, told);
    expect(batch.empty).toBe(true);
    for (const [i, datagram] of (await arrived).entries())
      expect([i, datagram.equals(data.bytes.subarray(i, i + (lengths[i] ?? 0)))]).toEqual([i, true]);
    expect(told.words).toEqual([]);
    // 64 64 64 10 | 0 | 64 | 1200 1200 1200 1199 | 1200 | 1453 | 1453 | 9000 | 65507 | 1 1 1 | 0 | 0 | 2
    expect(counting.messages).toBe(13);
  });

  it('of which the kernel will not cut messages go out one by one', async () => {
    const { fd, target } = await connected();
    const arrived = take(target, 7);
    const { batch, told } = sending({ refuseCut: EINVAL });
    const data = pattern();
    for (let i = 0; i < 3; i++) if (batch.add(data.address + i, 100, true)) batch.own('joined');
    batch.addJoined(data.address, 350, 100);
    batch.own('received so');
    batch.flush(fd, told);
    expect((await arrived).map((d) => d.length)).toEqual([100, 100, 100, 100, 100, 100, 50]);
    expect(told.words).toEqual(['joined uncut', 'received so uncut']);
  });

  it('are sent although the socket had an error of an earlier one to tell', async () => {
    const { fd, target } = await connected();
    const arrived = take(target, 2);
    const { batch, told } = sending({ first: ECONNREFUSED });
    const data = pattern();
    for (const length of [3, 500]) if (batch.add(data.address, length, true)) batch.own(`${length}`);
    batch.flush(fd, told);
    expect((await arrived).map((d) => d.length)).toEqual([3, 500]);
    expect(told.words).toEqual([`3 told ${ECONNREFUSED}`]);
  });

  it('that the kernel does not take are told one message at a time', () => {
    const { batch, told } = sending();
    const data = pattern();
    for (const length of [3, 2, 500]) if (batch.add(data.address, length, true)) batch.own(`${length}`);
    batch.flush(-1, told);
    expect(told.words).toEqual([`3 lost 2 of 5 bytes: ${EBADF}`, `500 lost 1 of 500 bytes: ${EBADF}`]);
    expect(batch.empty).toBe(true);
  });

  it('are full before there is no room for another', () => {
    const { batch } = sending();
    const data = pattern();
    let added = 0;
    while (!batch.full) {
      batch.addTwo(data.address, 1, data.address, 1);
      added += 1;
    }
    expect(added).toBe(32);
  });

  it('are received with who sent each', async () => {
    const { fd, port } = bound();
    const receive = new ReceiveBatch({ calls, slots: 4, names: true });
    expect(receive.receive(fd, 0, 4)).toBe(0);
    const client = createSocket('udp4');
    closers.push(() => client.close());
    for (const length of [0, 5, 65_507])
      await new Promise((resolve) => client.send(Buffer.alloc(length, length & 255), port, '127.0.0.1', resolve));
    expect(receive.receive(fd, 0, 4)).toBe(3);
    expect([0, 1, 2].map((slot) => receive.length(slot))).toEqual([0, 5, 65_507]);
    expect(Buffer.from(receive.payload(2)).equals(Buffer.alloc(65_507, 65_507 & 255))).toBe(true);
    receive.inspect(2);
    expect([receive.segment, receive.local]).toEqual([0, -1]);
    expect([...receive.nameBytes(1, 4, 4)]).toEqual([127, 0, 0, 1]);
    expect(receive.receive(-1, 0, 4)).toBe(-EBADF);
  });
});

/** `refuseCut`: errno for each message that is to be cut; `first`: errno of the first call. */
function sending({ refuseCut, first }: { readonly refuseCut?: number; readonly first?: number } = {}) {
  const counting = { messages: 0 };
  let errno = 0;
  let pending = first;
  const watched: DatagramCalls = {
    ...calls,
    errno: () => errno,
    sendmmsg: (fd, messages, count, flags) => {
      const message = new Int32Array(koffi.view(BigInt(messages), MESSAGE_BYTES));
      errno = pending ?? (message[CONTROL_LENGTH] === 0 ? 0 : (refuseCut ?? 0));
      pending = undefined;
      if (errno !== 0) return -1;
      // One at a time where some are refused: the kernel too stops at the first that it does not take.
      const n = calls.sendmmsg(fd, messages, refuseCut === undefined ? count : 1, flags);
      errno = calls.errno();
      counting.messages += Math.max(n, 0);
      return n;
    },
  };
  return { batch: new SendBatch<string>({ calls: watched, most: 32 }), told: new Told(), counting };
}

/** Bytes that differ from place to place. */
function pattern(): Block {
  const block = new Block(65_536 + 64);
  for (let i = 0; i < block.bytes.length; i++) block.bytes[i] = (i * 31 + (i >> 8)) & 255;
  return block;
}

function bound(): { readonly fd: number; readonly port: number } {
  const fd = libc.socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  closers.push(() => libc.close(fd));
  const own = packSocketAddress({ text: '127.0.0.1' }, 0);
  expect(libc.bind(fd, own, own.length)).toBe(0);
  const name = new Uint8Array(28);
  libc.getsockname(fd, name, new Uint8Array(Int32Array.of(28).buffer));
  return { fd, port: portOf(name) };
}

/** A socket that is connected to `target`. */
async function connected(): Promise<{ readonly fd: number; readonly target: Socket }> {
  const target = createSocket('udp4');
  closers.push(() => target.close());
  await new Promise<void>((resolve) => target.bind(0, '127.0.0.1', resolve));
  target.setRecvBufferSize(4_194_304);
  const { fd } = bound();
  const to = packSocketAddress({ text: '127.0.0.1' }, target.address().port);
  expect(libc.connect(fd, to, to.length)).toBe(0);
  return { fd, target };
}

function take(target: Socket, count: number): Promise<readonly Buffer[]> {
  const arrived: Buffer[] = [];
  return new Promise((resolve) => {
    target.on('message', (data: Buffer) => {
      if (arrived.push(data) === count) resolve(arrived);
    });
  });
}
