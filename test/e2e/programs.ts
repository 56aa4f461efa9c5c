/** The three programs as a user starts them, on hosts of the lab. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { CommandResult, Host, RunningProcess } from '../lab/index.js';
import { waitFor } from '../lab/index.js';
import { program } from './checkout.js';

export class ControlProgram {
  #process: RunningProcess | undefined;
  readonly #host: Host;
  readonly #dataDir: string;
  readonly #address: string;
  readonly #flags: readonly string[];

  constructor(options: { host: Host; dataDir: string; address: string; flags?: readonly string[] }) {
    this.#host = options.host;
    this.#dataDir = options.dataDir;
    this.#address = options.address;
    this.#flags = options.flags ?? [];
  }

  get process(): RunningProcess {
    if (!this.#process) throw new Error('the control plane has not been started');
    return this.#process;
  }

  async start(): Promise<void> {
    const argv = [program('gwctl-control'), 'serve', '--data-dir', this.#dataDir, '--listen', `${this.#address}:7443`];
    this.#process = await this.#host.spawn([...argv, '--http', `${this.#address}:7080`, ...this.#flags], {
      ready: 7443,
      readyTimeoutMs: 30_000,
    });
  }

  /** SIGKILL to the control plane and to every process of its PostgreSQL, at once. */
  async killWithDatabase(): Promise<void> {
    const killed = this.#host.killProcesses(/gwctl-control|apps\/control\/dist|postgres/);
    if (!killed.some((p) => /postgres/.test(p.command))) throw new Error('no PostgreSQL was running');
    await this.process.exited;
  }
}

/** What `gwctl-agent status -o json` says, as far as tests ask for it. */
export interface AgentStatus {
  readonly gateway: { readonly name: string };
  readonly controlPlane: { readonly connected: boolean; readonly since: string };
  readonly desired: {
    readonly source: 'disk' | 'control-plane';
    readonly acceptedRevision?: number;
    readonly appliedRevision?: number;
  };
}

export class AgentProgram {
  #process: RunningProcess | undefined;
  readonly #host: Host;
  readonly #driver: string;
  readonly stateDir: string;

  constructor(options: { host: Host; stateDir: string; driver: string }) {
    this.#host = options.host;
    this.stateDir = options.stateDir;
    this.#driver = options.driver;
    mkdirSync(this.stateDir, { recursive: true, mode: 0o700 });
  }

  get process(): RunningProcess {
    if (!this.#process) throw new Error('the agent has not been started');
    return this.#process;
  }

  /** Starts it and awaits a live session, unless the control plane is known to be away. `program`: another one than the checkout's. */
  async start(options: { awaitSession?: boolean; driver?: string; program?: string } = {}): Promise<void> {
    const argv = [
      options.program ?? program('gwctl-agent'),
      'run',
      '--state-dir',
      this.stateDir,
      '--driver',
      options.driver ?? this.#driver,
    ];
    this.#process = await this.#host.spawn(argv);
    if (options.awaitSession === false) return;
    await waitFor(async () => (await this.status()).controlPlane.connected, {
      what: 'the agent connected',
      timeoutMs: 20_000,
      intervalMs: 50,
    });
  }

  /** Any other command of the program, with this state directory. */
  command(args: readonly string[], options: { allowFailure?: boolean } = {}): Promise<CommandResult> {
    return this.#host.exec([program('gwctl-agent'), ...args, '--state-dir', this.stateDir], options);
  }

  async status(): Promise<AgentStatus> {
    return JSON.parse((await this.command(['status', '-o', 'json'])).stdout) as AgentStatus;
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    this.process.kill(signal);
    await this.process.exited;
  }
}

/** Joins a gateway with a join string; the result is the program's. */
export function joinGateway(host: Host, stateDir: string, joinString: string): Promise<CommandResult> {
  return host.exec([program('gwctl-agent'), 'join', joinString, '--state-dir', stateDir], {
    allowFailure: true,
    timeoutMs: 30_000,
  });
}

export const configFile = (dir: string) => join(dir, 'gwctl.yaml');
