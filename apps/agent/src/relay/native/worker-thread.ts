import { Worker } from 'node:worker_threads';
import { AppError } from '@gwctl/shared/errors/app-error';
import { callFailed } from '../../system/errno.js';
import { EFD_CLOEXEC, EFD_NONBLOCK } from '../../system/native/constants.js';
import type { RelayLibc } from '../../system/native/relay-libc.js';
import type { Adopted, Answers, Order, Report, WorkerStart } from './messages.js';
import type { Stray, TargetNews } from './side.js';
import { workerEntry } from './worker-entry.js';

/** Milliseconds until a worker that was told to stop is ended. */
const STOP_WITHIN = 2000;
/** MiB for short-lived objects: flows are used again, so there are few of them. */
const YOUNG_MIB = 4;

type Asked = Exclude<Order, { kind: 'stop' | 'learn' | 'stray' | 'adopt' }>;
/** What there is to say beside the kind and the id, which the thread gives. */
type Details<K extends Asked['kind']> = Omit<Extract<Asked, { kind: K }>, 'id' | 'kind'>;

export interface ThreadEvents {
  readonly news: (from: WorkerThread, uid: string, news: TargetNews) => void;
  readonly strayed: (from: WorkerThread, stray: Stray) => void;
  readonly trouble: (what: string, error: unknown) => void;
  /** It ended although nobody told it to. */
  readonly died: (error: AppError) => void;
}

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** The main thread's side of one worker. */
export class WorkerThread {
  readonly index: number;
  readonly #libc: RelayLibc;
  readonly #worker: Worker;
  readonly #wake: number;
  readonly #events: ThreadEvents;
  readonly #waiting = new Map<number, Waiting>();
  readonly #exited: Promise<void>;
  #ready: Waiting | undefined;
  #lastId = 0;
  #stopping = false;
  #cause: unknown;

  constructor(options: {
    readonly libc: RelayLibc;
    readonly index: number;
    readonly descriptors: SharedArrayBuffer;
    readonly predecessor?: number | undefined;
    readonly events: ThreadEvents;
  }) {
    this.index = options.index;
    this.#libc = options.libc;
    this.#events = options.events;
    this.#wake = options.libc.eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (this.#wake < 0) throw callFailed(options.libc, 'eventfd');
    const entry = workerEntry();
    const start: WorkerStart = { wake: this.#wake, descriptors: options.descriptors, predecessor: options.predecessor };
    this.#worker = new Worker(entry.url, {
      workerData: start,
      execArgv: [...entry.execArgv],
      name: `relay ${options.index}`,
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MIB },
    });
    this.#worker.on('message', (report: Report) => this.#hear(report));
    this.#worker.on('error', (error) => {
      this.#cause = error;
    });
    this.#exited = new Promise((resolve) => {
      this.#worker.once('exit', () => {
        this.#ended();
        resolve();
      });
    });
  }

  /** Resolves once it serves. */
  start(): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      this.#ready = { resolve: () => resolve(), reject };
    });
  }

  ask<K extends Asked['kind']>(kind: K, details: Details<K>): Promise<Answers[K]> {
    const id = ++this.#lastId;
    return new Promise<Answers[K]>((resolve, reject) => {
      if (this.#stopping) return reject(ended(this.#cause));
      this.#waiting.set(id, { resolve: (value) => resolve(value as Answers[K]), reject });
      this.#send({ ...details, kind, id } as unknown as Order);
    });
  }

  learn(uid: string, news: TargetNews): void {
    if (!this.#stopping) this.#send({ kind: 'learn', uid, news });
  }

  pass(stray: Stray): void {
    if (!this.#stopping) this.#send({ kind: 'stray', stray });
  }

  adopt(uid: string, connections: readonly Adopted[]): void {
    if (!this.#stopping) this.#send({ kind: 'adopt', uid, connections });
  }

  async stop(): Promise<void> {
    if (!this.#stopping) {
      this.#stopping = true;
      this.#send({ kind: 'stop' });
    }
    const late = setTimeout(() => void this.#worker.terminate(), STOP_WITHIN);
    await this.#exited;
    clearTimeout(late);
  }

  #send(order: Order): void {
    this.#worker.postMessage(order);
    this.#libc.write(this.#wake, ONE, 8);
  }

  #hear(report: Report): void {
    switch (report.kind) {
      case 'ready':
        this.#ready?.resolve(undefined);
        return;
      case 'answer':
        this.#take(report.id)?.resolve(report.value);
        return;
      case 'unable':
        this.#take(report.id)?.reject(report.error);
        return;
      case 'news':
        this.#events.news(this, report.uid, report.news);
        return;
      case 'stray':
        this.#events.strayed(this, report.stray);
        return;
      case 'trouble':
        this.#events.trouble(report.what, report.error);
        return;
    }
  }

  #take(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    return waiting;
  }

  #ended(): void {
    const told = this.#stopping;
    this.#stopping = true;
    this.#libc.close(this.#wake);
    const error = ended(this.#cause);
    this.#ready?.reject(error);
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
    if (!told) this.#events.died(error);
  }
}

const ONE = Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0);

const ended = (cause: unknown): AppError =>
  new AppError({
    code: 'UNAVAILABLE',
    reason: 'RELAY_WORKER_ENDED',
    message: `a thread of the relay has ended${cause instanceof Error ? `: ${cause.message}` : ''}; the relay must be started again`,
    cause,
  });
