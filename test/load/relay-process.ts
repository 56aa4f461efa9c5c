/** Our relay as it runs on a gateway: the process, told what to carry over its control socket as an agent tells it. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { program } from '../e2e/checkout.js';
import type { Host, Lab, RunningProcess } from '../lab/index.js';

export interface RelayForward {
  readonly uid: string;
  readonly listen: string;
  readonly target: string;
  readonly port: number;
  readonly targetPort?: number;
  readonly transports?: readonly ('tcp' | 'udp')[];
  readonly onChange?: 'drain' | 'cut' | 'keep';
  /** Milliseconds. */
  readonly connectTimeout?: number;
  readonly tcpIdleTimeout?: number;
  readonly udpIdleTimeout?: number;
  readonly maxConnections?: number;
}

/** What a relay says it uses. */
export interface RelayUse {
  readonly connections: number;
  readonly clients: number;
  readonly pipes: number;
  readonly descriptors: number;
  readonly descriptorLimit: number;
  readonly paused: boolean;
}

/** What went through one forward. */
export interface RelayCounts {
  readonly uid: string;
  readonly bytes: number;
  readonly flows: number;
  readonly failed: number;
  readonly open: number;
}

interface Answer {
  readonly id?: number;
  readonly part?: readonly unknown[];
  readonly ok?: unknown;
  readonly error?: { readonly message: string };
}

interface Asked {
  readonly rows: unknown[];
  readonly resolve: (answer: { readonly rows: readonly unknown[]; readonly value: unknown }) => void;
  readonly reject: (error: Error) => void;
}

export class RelayProcess {
  readonly #asked = new Map<number, Asked>();
  #last = 0;

  private constructor(
    readonly process: RunningProcess,
    private readonly socket: Socket,
  ) {
    createInterface({ input: socket }).on('line', (line) => this.#take(JSON.parse(line) as Answer));
    socket.on('close', () => {
      for (const { reject } of this.#asked.values()) reject(process.failure('the relay closed its control socket'));
      this.#asked.clear();
    });
  }

  /** `wrapped`: what is put in front of the program, such as a limit. */
  static async start(
    host: Host,
    lab: Lab<string>,
    options: { readonly name: string; readonly engine: 'native' | 'portable'; readonly wrapped?: readonly string[] },
  ): Promise<RelayProcess> {
    const { name, engine, wrapped = [] } = options;
    const dir = lab.directory(name);
    const argv = [...wrapped, program('gwctl-agent'), 'relay', '--state-dir', dir, '--engine', engine];
    const running = await host.spawn(argv);
    const path = join(dir, 'run', 'relay.sock');
    const patience = performance.now() + 20_000;
    for (;;) {
      const socket = connect(path);
      const opened = await once(socket, 'connect').then(
        () => true,
        () => false,
      );
      if (opened) return new RelayProcess(running, socket);
      if (!running.running || performance.now() > patience) throw running.failure('the relay opened no control socket');
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  get pid(): number {
    return this.process.pid;
  }

  /** @throws Error with what the relay said, or when it carries one of them not */
  async set(forwards: readonly RelayForward[]): Promise<void> {
    for (let from = 0; from < forwards.length; from += 256) {
      const batch = forwards.slice(from, from + 256).map((f) => {
        const forward = plain(f);
        return { forward, digest: createHash('sha256').update(JSON.stringify(forward)).digest('hex').slice(0, 24) };
      });
      const { rows } = await this.ask({ op: 'set', forwards: batch });
      if (rows.length > 0) throw new Error(`the relay does not carry: ${JSON.stringify(rows)}`);
    }
  }

  async remove(uids: readonly string[]): Promise<void> {
    await this.ask({ op: 'remove', uids });
  }

  async use(): Promise<RelayUse> {
    return (await this.ask({ op: 'use' })).value as RelayUse;
  }

  async counts(): Promise<readonly RelayCounts[]> {
    return (await this.ask({ op: 'counts' })).rows as readonly RelayCounts[];
  }

  ask(request: Readonly<Record<string, unknown>>): Promise<{ readonly rows: readonly unknown[]; readonly value: unknown }> {
    const id = ++this.#last;
    return new Promise((resolve, reject) => {
      this.#asked.set(id, { rows: [], resolve, reject });
      this.socket.write(`${JSON.stringify({ id, ...request })}\n`);
    });
  }

  async stop(): Promise<void> {
    this.socket.destroy();
    await this.process.stop('SIGKILL');
  }

  #take(answer: Answer): void {
    const asked = answer.id === undefined ? undefined : this.#asked.get(answer.id);
    if (!asked || answer.id === undefined) return;
    if (answer.part) {
      asked.rows.push(...answer.part);
      return;
    }
    this.#asked.delete(answer.id);
    if (answer.error) asked.reject(new Error(`the relay says: ${answer.error.message}`));
    else asked.resolve({ rows: asked.rows, value: answer.ok });
  }
}

/** As the agent sends it. */
function plain(f: RelayForward): unknown {
  return {
    uid: f.uid,
    generation: 1,
    listen: { address: f.listen, families: [4], transports: f.transports ?? ['tcp'], first: f.port, last: f.port },
    targets: [[f.target, f.targetPort ?? f.port, 1]],
    down: [],
    affinity: 'none',
    onChange: f.onChange ?? 'drain',
    connectTimeout: f.connectTimeout ?? 5000,
    tcpIdleTimeout: f.tcpIdleTimeout ?? 3_600_000,
    udpIdleTimeout: f.udpIdleTimeout ?? 60_000,
    ...(f.maxConnections === undefined ? {} : { maxConnections: f.maxConnections }),
  };
}
