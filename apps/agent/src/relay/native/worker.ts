import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { loadRelayLibc } from '../../system/native/relay-libc.js';
import type { ForwardCounts, RelayFlow } from '../engine.js';
import type { Transport } from '../types.js';
import { SharedDescriptors } from './descriptors.js';
import { EpollLoop } from './epoll-loop.js';
import { EPOLLIN } from './loop.js';
import type { FlowQuestion, Order, Report, WorkerStart } from './messages.js';
import { PipePool } from './pipe-pool.js';
import type { Side, SideHost, TargetNews } from './side.js';
import { Gear } from './tcp-gear.js';
import { TcpSide } from './tcp-side.js';
import { UdpSide } from './udp-side.js';

/** Milliseconds for which accepting rests at least, once there was no descriptor left. */
const REST = 50;
/** Of the descriptors, for the flows of one forward as long as there are others. */
const MOST_SHARE = 0.75;

/** One thread of the relay: it serves its sockets, and between two turns does what the main thread orders. */
class RelayWorker {
  readonly #port: MessagePort;
  readonly #loop: EpollLoop;
  readonly #descriptors: SharedDescriptors;
  readonly #tcp: TcpSide;
  readonly #udp: UdpSide;
  readonly #sides: readonly Side[];
  readonly #forwards = new Set<string>();
  readonly #drainBytes = new Uint8Array(8);
  #resting = false;
  #draining = false;

  constructor(port: MessagePort, start: WorkerStart) {
    const libc = loadRelayLibc();
    this.#port = port;
    this.#loop = new EpollLoop(libc, (error) => this.#trouble('an event', error));
    this.#descriptors = new SharedDescriptors(start.descriptors, () => this.#rest());
    const host: SideHost = {
      descriptors: this.#descriptors,
      crowds: (held) => this.#forwards.size > 1 && held >= MOST_SHARE * this.#descriptors.most,
      changed: (uid: string, news: TargetNews) => this.#say({ kind: 'news', uid, news }),
      strayed: (stray) => this.#say({ kind: 'stray', stray }),
      trouble: (what, error) => this.#trouble(what, error),
    };
    const pool = new PipePool(libc, this.#descriptors, () => this.#loop.now);
    const loop = this.#loop;
    this.#tcp = new TcpSide(new Gear({ libc, loop, host, pool, descriptors: this.#descriptors }));
    this.#udp = new UdpSide({ libc, loop, host, predecessor: start.predecessor });
    this.#sides = [this.#tcp, this.#udp];
    this.#loop.watch(start.wake, EPOLLIN, () => {
      libc.read(start.wake, this.#drainBytes, 8);
      this.#receive();
    });
  }

  run(): void {
    this.#say({ kind: 'ready' });
    this.#loop.run();
    for (const side of this.#sides) side.stop();
  }

  #receive(): void {
    for (let got = receiveMessageOnPort(this.#port); got; got = receiveMessageOnPort(this.#port)) {
      const order = got.message as Order;
      try {
        this.#obey(order);
      } catch (error) {
        if ('id' in order) this.#say({ kind: 'unable', id: order.id, error });
        else this.#trouble(order.kind, error);
      }
    }
  }

  #obey(order: Order): void {
    switch (order.kind) {
      case 'set':
        this.#set(order);
        return;
      case 'remove':
        this.#forwards.delete(order.uid);
        for (const side of this.#sides) side.remove(order.uid, order.cut);
        this.#answer(order.id, undefined);
        return;
      case 'counts':
        this.#answer(order.id, this.#counts());
        return;
      case 'flows':
        this.#answer(order.id, this.#flows(order.question));
        return;
      case 'use':
        this.#answer(order.id, this.#use());
        return;
      case 'draining':
        this.#answer(order.id, this.#udp.draining());
        return;
      case 'drain':
        this.#drain(order.id);
        return;
      case 'adopt':
        this.#tcp.adopt(order.uid, order.connections);
        return;
      case 'learn':
        for (const side of this.#sides) side.learn(order.uid, order.news);
        return;
      case 'stray':
        this.#udp.stray(order.stray);
        return;
      case 'stop':
        this.#loop.stop();
        return;
    }
  }

  #set({ id, forward, sockets, memory }: Extract<Order, { kind: 'set' }>): void {
    const of = (transport: Transport) => sockets.filter((s) => s.transport === transport);
    this.#forwards.add(forward.uid);
    this.#tcp.set(forward, of('tcp'), { memory });
    this.#udp.set(forward, of('udp'), { memory });
    this.#answer(id, undefined);
  }

  #counts(): readonly ForwardCounts[] {
    return this.#sides.flatMap((side) => side.counts());
  }

  #flows(question: FlowQuestion): readonly RelayFlow[] {
    return this.#sides.flatMap((side) => side.flows(question)).slice(0, question.most);
  }

  #use() {
    const all = this.#sides.map((s) => s.use());
    const sum = (of: 'connections' | 'clients' | 'pipes') => all.reduce((total, one) => total + one[of], 0);
    return { connections: sum('connections'), clients: sum('clients'), pipes: sum('pipes') };
  }

  #drain(id: number): void {
    this.#draining = true;
    for (const side of this.#sides) side.accept(false);
    let waiting = this.#sides.length;
    const done = () => {
      waiting -= 1;
      if (waiting === 0) this.#answer(id, undefined);
    };
    for (const side of this.#sides) side.drained(done);
  }

  /** No descriptor is left: what waits to be accepted waits in the kernel, until some are given back. */
  #rest(): void {
    if (this.#resting || this.#draining) return;
    this.#resting = true;
    this.#descriptors.pause(true);
    // UDP goes on: clients that it knows need no descriptor, and new ones it turns away by itself.
    this.#sides[0]?.accept(false);
    this.#loop.after(REST, () => this.#wake());
  }

  #wake(): void {
    if (!this.#draining && !this.#descriptors.hasRoom) {
      this.#loop.after(REST, () => this.#wake());
      return;
    }
    this.#resting = false;
    this.#descriptors.pause(false);
    if (!this.#draining) this.#sides[0]?.accept(true);
  }

  #answer(id: number, value: unknown): void {
    this.#say({ kind: 'answer', id, value });
  }

  #trouble(what: string, error: unknown): void {
    this.#say({ kind: 'trouble', what, error });
  }

  #say(report: Report): void {
    this.#port.postMessage(report);
  }
}

if (parentPort) new RelayWorker(parentPort, workerData as WorkerStart).run();
