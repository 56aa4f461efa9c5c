/** Many connections that are in use at every moment, so that a change that harms any of them is seen. */
import type { Flow, Host, NoAnswer } from '../lab/index.js';

export interface PingPongReport {
  readonly flows: number;
  /** Questions that were answered. */
  readonly answered: number;
  /** Of the answers, in milliseconds. */
  readonly slowest: number;
  /** How a connection ended, for each that did. */
  readonly failures: readonly NoAnswer[];
}

const TIMEOUT_MS = 900;
const PAUSE_MS = 10;

export class PingPong {
  readonly #flows: readonly Flow[];
  readonly #players: Promise<void>[];
  readonly #failures: NoAnswer[] = [];
  #answered = 0;
  #slowest = 0;
  #over = false;

  private constructor(flows: readonly Flow[]) {
    this.#flows = flows;
    this.#players = flows.map((flow) => this.#play(flow));
  }

  /** Opens the connections from `host`, `address:port` being a listener, and keeps a question under way on each. */
  static async start(host: Host, to: string, count: number): Promise<PingPong> {
    const [address = '', port = ''] = to.split(':');
    const open = () => host.open({ proto: 'tcp', to: address, port: Number(port) });
    return new PingPong(await Promise.all(Array.from({ length: count }, open)));
  }

  async stop(): Promise<PingPongReport> {
    this.#over = true;
    await Promise.all(this.#players);
    await Promise.all(this.#flows.map((flow) => flow.close()));
    return { flows: this.#flows.length, answered: this.#answered, slowest: Math.round(this.#slowest), failures: this.#failures };
  }

  async #play(flow: Flow): Promise<void> {
    while (!this.#over) {
      const began = performance.now();
      const outcome = await flow.echo('ping', { timeoutMs: TIMEOUT_MS });
      if (outcome !== 'echoed') {
        this.#failures.push(outcome);
        return;
      }
      this.#answered++;
      this.#slowest = Math.max(this.#slowest, performance.now() - began);
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }
}
