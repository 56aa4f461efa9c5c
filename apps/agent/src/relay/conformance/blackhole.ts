import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { Worker } from 'node:worker_threads';

/** Listens, says where, and never accepts: its thread waits for good. */
const DEAF = `
const { parentPort, workerData } = require('node:worker_threads');
const server = require('node:net').createServer();
server.listen({ host: workerData.address, port: 0, backlog: 1 }, () => {
  parentPort.postMessage(server.address().port);
  setImmediate(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0));
});
`;

/** A port that answers to no SYN: it is listened on, nobody accepts, and its queue is full (Linux then drops what comes). */
export class Blackhole {
  readonly address: string;
  readonly port: number;
  readonly #worker: Worker;
  readonly #fillers: readonly Socket[];

  private constructor(worker: Worker, address: string, port: number, fillers: readonly Socket[]) {
    this.#worker = worker;
    this.address = address;
    this.port = port;
    this.#fillers = fillers;
  }

  static async open(address = '127.0.0.1'): Promise<Blackhole> {
    const worker = new Worker(DEAF, { eval: true, workerData: { address } });
    const [port] = (await once(worker, 'message')) as [number];
    // The kernel takes one more than the queue is long (sk_acceptq_is_full).
    const fillers = [connect({ host: address, port }), connect({ host: address, port })];
    await Promise.all(fillers.map((socket) => once(socket, 'connect')));
    return new Blackhole(worker, address, port, fillers);
  }

  async close(): Promise<void> {
    for (const socket of this.#fillers) socket.on('error', () => {}).destroy();
    await this.#worker.terminate();
  }
}
