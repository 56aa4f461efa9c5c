/** A running gwctl: scenario 1's hosts, a control plane, an agent that has joined, and an operator who is logged in. */
import { join } from 'node:path';
import {
  type CommandResult,
  type DestroyOptions,
  type Lab,
  labMode,
  type NoAnswer,
  type Prober,
  type TransportProtocol,
  type WhoAnswer,
  type WhoServer,
  waitFor,
} from '../lab/index.js';
import { createScenario1, type Scenario1Host, scenario1 } from '../lab/scenario1.js';
import { checkout } from './checkout.js';
import { Deployment } from './deployment.js';
import { KernelRules, type Variant } from './kernel-rules.js';
import { Operator } from './operator.js';
import type { AgentProgram, ControlProgram } from './programs.js';

export interface WorldOptions {
  /** In the names of the namespaces; unique among worlds that run at the same time. */
  readonly name: string;
  /** Default iptables-nft. */
  readonly driver?: Variant | 'nftables' | 'relay';
  readonly controlFlags?: readonly string[];
  /** Runs once the hosts are there and before any program of ours: what a gateway is like before gwctl comes. */
  readonly before?: (lab: Lab<Scenario1Host>) => Promise<void>;
  /** Told as it is built, for people. */
  readonly progress?: (what: string) => void;
}

/** One event as `gwctl events -o json` prints it. */
export interface EventOutput {
  readonly uid: string;
  readonly time: string;
  readonly gateway: string;
  readonly forward: string;
  readonly reason: string;
  readonly message: string;
  readonly drift?: { readonly cause: string; readonly object: string; readonly process?: string };
}

export class World {
  readonly rules: KernelRules;
  #api: Operator | undefined;

  private constructor(
    private readonly site: Deployment<Scenario1Host>,
    variant: Variant,
  ) {
    this.rules = new KernelRules(site.lab.host('gw1'), variant);
  }

  get lab(): Lab<Scenario1Host> {
    return this.site.lab;
  }

  get control(): ControlProgram {
    return this.site.control;
  }

  get agent(): AgentProgram {
    return this.site.agent;
  }

  get server(): string {
    return this.site.server;
  }

  get caFile(): string {
    return this.site.caFile;
  }

  get tokenFile(): string {
    return this.site.tokenFile;
  }

  get dir(): string {
    return this.lab.path;
  }

  static async start(options: WorldOptions): Promise<World> {
    labMode();
    const driver = options.driver ?? 'iptables-nft';
    const lab = await createScenario1(options.name);
    try {
      await options.before?.(lab);
      const site = await Deployment.start({
        lab,
        control: { host: 'control', address: scenario1.control },
        gateway: 'gw1',
        driver,
        labels: ['site=tokyo'],
        ...(options.controlFlags ? { controlFlags: options.controlFlags } : {}),
        ...(options.progress ? { progress: options.progress } : {}),
      });
      return new World(site, driver === 'nftables' || driver === 'relay' ? 'iptables-nft' : driver);
    } catch (error) {
      await lab.destroy().catch((second) => {
        throw new AggregateError([error, second], 'the world did not come up, and did not go down cleanly');
      });
      throw error;
    }
  }

  /** `mayBeLeft`: see {@link Lab.destroy}. */
  async stop(options?: DestroyOptions): Promise<void> {
    await this.lab.destroy(options);
  }

  /** Runs gwctl as the operator, on the control plane's host. */
  gwctl(args: readonly string[], options: { allowFailure?: boolean; timeoutMs?: number } = {}): Promise<CommandResult> {
    return this.site.gwctl(args, options);
  }

  /** Adds a forward on the one gateway. `flags`: what more is said of it, `--wait` too. */
  add(name: string, listen: string, target: string, ...flags: readonly string[]): Promise<CommandResult> {
    return this.gwctl(['forward', 'add', name, '--gateway', 'gw1', '--listen', listen, '--target', target, ...flags]);
  }

  /** Runs a file of `examples/` as the operator. */
  example(file: string): Promise<CommandResult> {
    return this.site.example(file);
  }

  join(joinString: string, stateDir = 'gw1'): Promise<CommandResult> {
    return this.site.join(joinString, stateDir);
  }

  /** The API without a process for each call. */
  async api(): Promise<Operator> {
    this.#api ??= await Operator.start(this.lab.host('control'), {
      main: join(checkout, 'test/e2e/operator-main.ts'),
      server: this.server,
      caFile: this.caFile,
      tokenFile: this.tokenFile,
    });
    return this.#api;
  }

  /** A who-server on `address:port` of a host. */
  serve(host: Scenario1Host, listener: string, proto: TransportProtocol = 'tcp'): Promise<WhoServer> {
    const [address = '', port = ''] = listener.split(':');
    return this.lab.host(host).serve([{ proto, address, port: Number(port) }]);
  }

  ask(
    host: Scenario1Host,
    to: string,
    options: { proto?: TransportProtocol; from?: string; timeoutMs?: number } = {},
  ): Promise<WhoAnswer | NoAnswer> {
    const [address = '', port = ''] = to.split(':');
    return this.lab.host(host).ask({ proto: 'tcp', to: address, port: Number(port), ...options });
  }

  /** Awaits that somebody answers. `proto` default tcp, `timeoutMs` default 10 000. */
  async reaches(
    host: Scenario1Host,
    to: string,
    { proto = 'tcp', timeoutMs = 10_000 }: { proto?: TransportProtocol; timeoutMs?: number } = {},
  ): Promise<void> {
    const answered = async () => typeof (await this.ask(host, to, { proto, timeoutMs: 300 })) === 'object';
    await waitFor(answered, { what: `${host} reaches ${to} by ${proto}`, timeoutMs });
  }

  /** Started, and past its first success. */
  probe(host: Scenario1Host, to: string): Promise<Prober> {
    const [address = '', port = ''] = to.split(':');
    return this.lab
      .host(host)
      .prober({ to: address, port: Number(port) })
      .start()
      .settled();
  }

  /** The state of a forward's one placement. */
  async forwardState(name: string): Promise<string> {
    const forward = JSON.parse((await this.gwctl(['forward', 'get', name, '-o', 'json'])).stdout);
    return forward.status.placements[0].state;
  }

  /** Awaits that the agent has applied all that is wanted now. */
  async applied(gateway = 'gw1'): Promise<void> {
    const api = await this.api();
    await waitFor(
      async () => {
        const { status } = await api.call<{ status: { revision?: string; appliedRevision?: string; connected?: boolean } }>(
          'GatewayService.GetGateway',
          { name: gateway },
        );
        return status.connected === true && status.revision === status.appliedRevision;
      },
      { what: `${gateway} has applied what is wanted`, timeoutMs: 30_000, intervalMs: 10 },
    );
  }

  /** The last five, newest first. */
  async events(forward: string): Promise<EventOutput[]> {
    return JSON.parse((await this.gwctl(['events', '--forward', forward, '--limit', '5', '-o', 'json'])).stdout).items;
  }

  /** The ports for which the gateway has a DNAT rule of ours. */
  async forwardedPorts(): Promise<number[]> {
    const ports = (await this.rules.all('nat')).flatMap((line) => {
      const port = /^-A GWCTL-.* --dport (\d+) .*-j DNAT /.exec(line)?.[1];
      return port ? [Number(port)] : [];
    });
    return [...new Set(ports)].sort((a, b) => a - b);
  }
}
