import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { checkout } from '../e2e/checkout.js';
import type { Host, RunningProcess } from '../lab/index.js';
import type { Counted, GatewayCommand, Looked, Reconciled, Seen, Started, Wanted, WantedForward } from './gateway-protocol.js';
import type { TableDriver } from './topology.js';

/** What the driver said no to, with its reason. */
export class GatewayError extends Error {
  constructor(
    message: string,
    readonly reason: string | undefined,
  ) {
    super(message);
  }
}

/** Everything but the forwards; default: nothing else is wanted, no name known, every target well, and the mirror trusted. */
export type WantOptions = Partial<Omit<Wanted, 'forwards'>> & { readonly fresh?: boolean };

interface Answer {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: string;
  readonly reason?: string;
}

/** Planner and driver of the agent at work in a host of the lab. */
export class Gateway {
  readonly #process: RunningProcess;
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  #nextId = 1;

  private constructor(running: RunningProcess) {
    this.#process = running;
    createInterface({ input: running.stdoutStream }).on('line', (line) => {
      const answer = JSON.parse(line) as Answer;
      this.#waiting.get(answer.id)?.(answer);
      this.#waiting.delete(answer.id);
    });
    void running.exited.then(() => {
      const error = String(running.failure('the gateway program ended'));
      for (const [id, tell] of this.#waiting) tell({ id, error });
    });
  }

  /** `by`: a program that starts it, with its arguments. */
  static async on(host: Host, by: readonly string[] = []): Promise<Gateway> {
    // As source, whether or not whoever starts it is compiled: its imports are relative to where it stands.
    const program = join(checkout, 'test/packet-table/gateway-main.ts');
    const running = await host.spawn([...by, process.execPath, '--no-warnings', program], { ready: /"id":0/ });
    return new Gateway(running);
  }

  /** `relayEngine`: default, native where it works. */
  start(
    driver: TableDriver | 'auto' | 'iptables' | 'relay',
    stateDir: string,
    relayEngine?: 'native' | 'portable',
  ): Promise<Started> {
    return this.#call({ op: 'start', driver, stateDir, ...(relayEngine ? { relayEngine } : {}) });
  }

  want(forwards: readonly WantedForward[], options: WantOptions = {}): Promise<Reconciled> {
    return this.#call({ op: 'want', forwards, egresses: [], names: {}, unhealthy: [], fresh: false, ...options });
  }

  async look(): Promise<Looked['drift']> {
    return (await this.#call<Looked>({ op: 'look' })).drift;
  }

  async count(): Promise<Counted['counters']> {
    return (await this.#call<Counted>({ op: 'count' })).counters;
  }

  cleanUp(): Promise<void> {
    return this.#call({ op: 'cleanUp' });
  }

  cleanLeftovers(): Promise<void> {
    return this.#call({ op: 'cleanLeftovers' });
  }

  watch(): Promise<void> {
    return this.#call({ op: 'watch' });
  }

  async seen(): Promise<readonly string[]> {
    return (await this.#call<Seen>({ op: 'seen' })).processes;
  }

  stop(): Promise<unknown> {
    return this.#process.stop();
  }

  async #call<T>(command: GatewayCommand): Promise<T> {
    const id = this.#nextId++;
    const answer = await new Promise<Answer>((resolve) => {
      this.#waiting.set(id, resolve);
      this.#process.stdin.write(`${JSON.stringify({ ...command, id })}\n`);
    });
    if (answer.error !== undefined) throw new GatewayError(answer.error, answer.reason);
    return answer.result as T;
  }
}
