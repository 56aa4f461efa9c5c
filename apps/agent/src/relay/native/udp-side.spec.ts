import { setImmediate } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { Block } from '../../system/native/block.js';
import { AF_INET, SOCK_DGRAM, SOCK_NONBLOCK } from '../../system/native/constants.js';
import { loadDatagramCalls } from '../../system/native/datagram-calls.js';
import { openListening } from '../../system/native/listening-socket.js';
import { ReceiveBatch } from '../../system/native/receive-batch.js';
import { loadRelayLibc } from '../../system/native/relay-libc.js';
import { SendBatch } from '../../system/native/send-batch.js';
import { packSocketAddress, portOf } from '../../system/native/socket-address.js';
import { DatagramPeer } from '../conformance/datagram-peers.js';
import { proxyHeaderV2 } from '../core/proxy-protocol.js';
import { type RelayedWords, relayed, target } from '../testing.js';
import { EpollLoop } from './epoll-loop.js';
import { limitsMemory } from './shared-limits.js';
import type { SharedOut, Stray } from './side.js';
import { UdpSide } from './udp-side.js';
import { joinReceived } from './udp-target-socket.js';

const libc = loadRelayLibc();
const calls = loadDatagramCalls();
const closers: (() => void)[] = [];

afterEach(() => {
  for (const close of closers.splice(0).reverse()) close();
});

/** A side on a loop that turns only while the test waits for something. */
class Bench {
  readonly troubles: unknown[] = [];
  readonly changed: string[] = [];
  readonly strays: Stray[] = [];
  /** Descriptors that are left. */
  room = 1000;
  readonly loop = new EpollLoop(libc, (error) => this.troubles.push(error));
  readonly side: UdpSide;
  readonly #memory = limitsMemory(64);

  constructor() {
    this.side = new UdpSide({
      loop: this.loop,
      libc,
      host: {
        changed: (uid, { target: key, healthy }) => this.changed.push(`${uid} ${key} ${healthy}`),
        strayed: (stray) => this.strays.push(stray),
        trouble: (what, error) => this.troubles.push([what, error]),
        crowds: () => false,
        descriptors: {
          take: (count) => this.room >= count && this.give(-count),
          give: (count) => void this.give(count),
          exhausted: () => this.troubles.push('exhausted'),
        },
      },
    });
    closers.push(() => {
      this.side.stop();
      expect([this.troubles, this.side.use().clients]).toEqual([[], 0]);
    });
  }

  carry(words: RelayedWords, sockets: readonly SharedOut[]): void {
    this.side.set(relayed({ transports: ['udp'], ...words }), sockets, { memory: this.#memory });
  }

  /** Turns the loop until it is there. */
  async during<T>(wanted: Promise<T>): Promise<T> {
    const state = { over: false };
    const finish = () => {
      state.over = true;
    };
    wanted.then(finish, finish);
    while (!state.over) {
      this.turn();
      await setImmediate();
    }
    return wanted;
  }

  async until(holds: () => boolean): Promise<void> {
    while (!holds()) {
      this.turn();
      await setImmediate();
    }
  }

  turn(): void {
    this.loop.again(() => undefined);
    this.loop.turn();
  }

  give(count: number): true {
    this.room += count;
    return true;
  }
}

function listening(address = '127.0.0.1', port = 0): SharedOut {
  const opened = openListening(libc, { transport: 'udp', address, port, probe: false });
  if ('error' in opened) throw new Error(opened.error);
  closers.push(() => libc.close(opened.fd));
  return {
    transport: 'udp',
    address,
    port: port === 0 ? portOfSocket(opened.fd) : port,
    fd: opened.fd,
    exclusive: false,
    inherited: false,
  };
}

function portOfSocket(fd: number): number {
  const name = new Uint8Array(28);
  libc.getsockname(fd, name, new Uint8Array(Int32Array.of(28).buffer));
  return portOf(name);
}

async function peer(address?: string): Promise<DatagramPeer> {
  const opened = await DatagramPeer.open(address);
  closers.push(() => opened.close());
  return opened;
}

const at = ({ port }: { readonly port: number }, address = '127.0.0.1') => ({ address, port });

describe('UDP side', () => {
  it('keeps length and order of bursts in both directions, whatever the batches', async () => {
    const bench = new Bench();
    const [there, client, socket] = [await peer(), await peer(), listening()];
    bench.carry({ port: socket.port, targets: [target('127.0.0.1', there.port)] }, [socket]);
    const lengths = Array.from({ length: 300 }, (_, i) => [100, 100, 100, 1200, 1200, 700, 0, 20_000, 64, 64][i % 10] ?? 0);
    const burst = lengths.map((length, i) => Buffer.alloc(length, i & 255));
    for (const data of burst) client.send(data, at(socket));
    const got: Buffer[] = [];
    for (const _ of burst) got.push((await bench.during(there.next())).data);
    expect(got.map((d, i) => d.equals(burst[i]!))).toEqual(burst.map(() => true));
    const [flow] = bench.side.flows({ most: 1 });
    const from = { address: '127.0.0.1', port: Number(flow?.source.split(':')[1]) };
    for (const data of burst) there.send(data, from);
    for (const data of burst) expect((await bench.during(client.next())).data.equals(data)).toBe(true);
    const bytes = 2 * lengths.reduce((a, b) => a + b, 0);
    expect(bench.side.counts()).toMatchObject([{ flows: 1, open: 1, datagrams: 2 * lengths.length, bytes }]);
  });

  it('passes on what its client joined, and cuts nothing wrong, in both directions', async () => {
    const bench = new Bench();
    const [socket, there] = [listening(), joined()];
    bench.carry({ port: socket.port, targets: [target('127.0.0.1', there.port)] }, [socket]);
    const client = joined(socket.port);
    client.send(1000, 5300);
    await bench.until(() => there.take() >= 5300);
    expect(there.lengths.splice(0)).toEqual([1000, 1000, 1000, 1000, 1000, 300]);
    const [flow] = bench.side.flows({ most: 1 });
    there.connect(Number(flow?.source.split(':')[1]));
    there.send(1200, 6001);
    await bench.until(() => client.take() >= 6001);
    expect(client.lengths).toEqual([1200, 1200, 1200, 1200, 1200, 1]);
    expect(bench.side.counts()).toMatchObject([{ datagrams: 12, bytes: 11_301 }]);
  });

  it('takes what a client says to two addresses of the gateway for two', async () => {
    const bench = new Bench();
    const [there, client, socket] = [(await peer()).echo(), await peer(), listening('0.0.0.0')];
    bench.carry({ address: undefined, port: socket.port, targets: [target('127.0.0.1', there.port)] }, [socket]);
    for (const address of ['127.0.0.2', '127.0.0.3', '127.0.0.2']) {
      client.send(address, at(socket, address));
      expect(await bench.during(client.next())).toMatchObject({ data: Buffer.from(address), address, port: socket.port });
    }
    expect(bench.side.flows({ most: 9 }).map((f) => f.listener)).toEqual([
      `127.0.0.2:${socket.port}`,
      `127.0.0.3:${socket.port}`,
    ]);
  });

  it('puts a PROXY header before each datagram, of a burst too', async () => {
    const bench = new Bench();
    const [there, client, socket] = [await peer(), await peer(), listening()];
    bench.carry({ port: socket.port, targets: [target('127.0.0.1', there.port)], proxyProtocol: 'v2' }, [socket]);
    const header = proxyHeaderV2({ transport: 'udp', client, listener: at(socket) });
    for (const text of ['one', 'two', '', 'four']) client.send(text, at(socket));
    for (const text of ['one', 'two', '', 'four'])
      expect((await bench.during(there.next())).data).toEqual(Buffer.concat([header, Buffer.from(text)]));
    expect(bench.side.counts()).toMatchObject([{ bytes: 10, datagrams: 4 }]);
  });

  it('turns new clients away when no descriptor is left, and goes on with those it has', async () => {
    const bench = new Bench();
    const [there, one, two, socket] = [(await peer()).echo(), await peer(), await peer(), listening()];
    bench.room = 1;
    bench.carry({ port: socket.port, targets: [target('127.0.0.1', there.port)], udpIdleTimeout: 150 }, [socket]);
    one.send('a', at(socket));
    await bench.during(one.next());
    two.send('b', at(socket));
    await bench.until(() => bench.side.counts()[0]?.limited === 1);
    one.send('c', at(socket));
    expect(await bench.during(one.text())).toBe('c');
    await bench.until(() => bench.side.use().clients === 0);
    expect(bench.room).toBe(1);
    two.send('d', at(socket));
    expect(await bench.during(two.text())).toBe('d');
  });

  it('goes on with clients of a forward that is gone while another has its place', async () => {
    const bench = new Bench();
    const [old, fresh] = [(await peer()).echo(), (await peer()).echo()];
    const [known, unknown] = [await peer(), await peer()];
    const first = listening();
    bench.carry({ uid: 'a', port: first.port, targets: [target('127.0.0.1', old.port)] }, [first]);
    known.send('1', at(first));
    await bench.during(known.next());
    bench.side.remove('a', false);
    libc.close(first.fd);
    const second = listening('127.0.0.1', first.port);
    bench.carry({ uid: 'b', port: first.port, targets: [target('127.0.0.1', fresh.port)] }, [second]);
    // Which of the two sockets a client's datagrams come to is up to the kernel.
    for (let i = 0; i < 20; i++) {
      const client = await peer();
      client.send('new', at(first));
      expect(await bench.during(client.text())).toBe('new');
    }
    known.send('2', at(first));
    expect(await bench.during(known.text())).toBe('2');
    unknown.send('3', at(first));
    expect(await bench.during(unknown.text())).toBe('3');
    expect(fresh.received).toBeGreaterThanOrEqual(21);
    bench.side.remove('b', true);
    expect(bench.side.flows({ most: 99 }).every((f) => f.uid === 'a')).toBe(true);
  });

  it('leaves a target that refuses for one that is well, and says so once', async () => {
    const bench = new Bench();
    const [there, client, socket] = [(await peer()).echo(), await peer(), listening()];
    const nobody = await peer();
    nobody.close();
    const targets = [target('127.0.0.1', nobody.port, 100), target('127.0.0.1', there.port)];
    bench.carry({ port: socket.port, targets }, [socket]);
    client.send('kept', at(socket));
    expect(await bench.during(client.text())).toBe('kept');
    expect(bench.changed).toEqual([`f1 127.0.0.1 ${nobody.port} false`, `f1 127.0.0.1 ${there.port} true`]);
    expect(bench.side.counts()).toMatchObject([{ failed: 0, open: 1, datagrams: 2 }]);
  });

  it('counts a client as failed, once, that no target answers', async () => {
    const bench = new Bench();
    const [client, nobody, socket] = [await peer(), await peer(), listening()];
    nobody.close();
    bench.carry({ port: socket.port, targets: [target('127.0.0.1', nobody.port)] }, [socket]);
    for (let i = 1; i <= 4; i++) {
      client.send('x', at(socket));
      await bench.until(() => bench.side.counts()[0]?.datagrams === i);
    }
    await bench.until(() => bench.side.counts()[0]?.failed === 1);
    expect(bench.side.counts()).toMatchObject([{ failed: 1, open: 1, targets: [{ health: 'unhealthy' }] }]);
  });

  it('is drained when the last client is silent, and receives nothing new until then', async () => {
    const bench = new Bench();
    const [there, client, late, socket] = [await peer(), await peer(), await peer(), listening()];
    bench.carry({ port: socket.port, targets: [target('127.0.0.1', there.port)], udpIdleTimeout: 200 }, [socket]);
    client.send('x', at(socket));
    const from = await bench.during(there.next());
    bench.side.accept(false);
    const drained = new Promise<void>((resolve) => bench.side.drained(resolve));
    late.send('for the successor', at(socket));
    there.send('answer', from);
    expect(await bench.during(client.text())).toBe('answer');
    await bench.during(drained);
    expect(bench.side.counts()).toMatchObject([{ flows: 1, open: 0 }]);
    expect(there.received).toBe(1);
  });
});

/** A socket that sends and receives as many network cards and QUIC libraries do: several datagrams in one piece. */
function joined(to?: number) {
  const fd = libc.socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  closers.push(() => libc.close(fd));
  const own = packSocketAddress({ text: '127.0.0.1' }, 0);
  libc.bind(fd, own, own.length);
  joinReceived(libc, fd);
  const receive = new ReceiveBatch({ calls, slots: 8, names: false });
  const batch = new SendBatch<undefined>({ calls, most: 8 });
  const data = new Block(65_536);
  const lengths: number[] = [];
  const connect = (port: number) => {
    const address = packSocketAddress({ text: '127.0.0.1' }, port);
    libc.connect(fd, address, address.length);
  };
  if (to !== undefined) connect(to);
  return {
    port: portOfSocket(fd),
    lengths,
    connect,
    send: (segment: number, length: number) => {
      batch.addJoined(data.address, length, segment);
      batch.flush(fd, { lost: () => expect.fail('lost'), told: () => undefined, uncut: () => expect.fail('uncut') });
    },
    /** Gives how many bytes came so far. */
    take: (): number => {
      const n = receive.receive(fd, 0, 8);
      for (let slot = 0; slot < n; slot++) {
        receive.inspect(slot);
        const length = receive.length(slot);
        const segment = receive.segment || length;
        for (let from = 0; from < length; from += segment) lengths.push(Math.min(segment, length - from));
      }
      return lengths.reduce((a, b) => a + b, 0);
    },
  };
}
