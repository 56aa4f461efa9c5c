import { createInterface } from 'node:readline';
import type { RunningProcess } from './running-process.js';
import type {
  FlowTarget,
  ListenerAddress,
  NoAnswer,
  OpenedFlow,
  TrafficCommand,
  TrafficResponse,
  WhoAnswer,
} from './traffic-protocol.js';

/** The conversation with the traffic process of one host. */
export class TrafficProcess {
  #nextId = 1;
  readonly #waiting = new Map<number, { resolve: (result: unknown) => void; reject: (error: Error) => void }>();
  readonly #process: RunningProcess;
  readonly #ready: Promise<unknown>;

  constructor(options: { process: RunningProcess; stdout: NodeJS.ReadableStream }) {
    this.#process = options.process;
    this.#ready = this.#expect(0);
    createInterface({ input: options.stdout }).on('line', (line) => this.#receive(JSON.parse(line) as TrafficResponse));
    void options.process.exited.then(() => {
      for (const { reject } of this.#waiting.values()) reject(options.process.failure('the traffic process ended'));
      this.#waiting.clear();
    });
  }

  async call(command: TrafficCommand): Promise<unknown> {
    await this.#ready;
    if (!this.#process.running) throw this.#process.failure('the traffic process has ended');
    const id = this.#nextId++;
    const answer = this.#expect(id);
    this.#process.stdin.write(`${JSON.stringify({ ...command, id })}\n`);
    return answer;
  }

  #expect(id: number): Promise<unknown> {
    return new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
  }

  #receive(response: TrafficResponse): void {
    const waiting = this.#waiting.get(response.id);
    this.#waiting.delete(response.id);
    if ('error' in response) waiting?.reject(new Error(response.error));
    else waiting?.resolve(response.result);
  }
}

/** Listens on any number of addresses and ports and tells each client how it sees it, then echoes. */
export class WhoServer {
  constructor(
    private readonly traffic: TrafficProcess,
    private readonly id: number,
  ) {}

  /** Stops listening. Open TCP flows stay unless `reset`. */
  async stop(options: { flows?: 'keep' | 'reset' } = {}): Promise<void> {
    await this.traffic.call({ op: 'unserve', server: this.id, flows: options.flows ?? 'reset' });
  }
}

/** One TCP connection or UDP association that stays open, to see what a change does to it. */
export class Flow {
  constructor(
    private readonly traffic: TrafficProcess,
    private readonly id: number,
    /** What the who-server saw when it was opened. */
    readonly answer: WhoAnswer,
  ) {}

  /** Sends a line and awaits it back. `timeoutMs` default 1000. */
  async echo(text = 'still there', options: { timeoutMs?: number } = {}): Promise<'echoed' | NoAnswer> {
    const result = await this.traffic.call({ op: 'echo', flow: this.id, text, timeoutMs: options.timeoutMs ?? 1000 });
    return result as 'echoed' | NoAnswer;
  }

  /** `end`: in good order (FIN). `reset` (default): at once, leaves no TIME_WAIT. */
  async close(how: 'end' | 'reset' = 'reset'): Promise<void> {
    await this.traffic.call({ op: 'close', flow: this.id, how });
  }
}

export async function serve(traffic: TrafficProcess, listeners: readonly ListenerAddress[]): Promise<WhoServer> {
  return new WhoServer(traffic, (await traffic.call({ op: 'serve', listeners: [...listeners] })) as number);
}

export async function openFlow(traffic: TrafficProcess, target: FlowTarget): Promise<Flow | NoAnswer> {
  const opened = (await traffic.call({ op: 'open', ...target })) as OpenedFlow | NoAnswer;
  return typeof opened === 'string' ? opened : new Flow(traffic, opened.flow, opened.answer);
}

export async function ask(traffic: TrafficProcess, target: FlowTarget): Promise<WhoAnswer | NoAnswer> {
  const flow = await openFlow(traffic, target);
  if (typeof flow === 'string') return flow;
  await flow.close();
  return flow.answer;
}
