/** A running gwctl on hosts of the lab: a control plane, an agent that has joined, and an operator who is logged in. */
import { dirname, join } from 'node:path';
import { type CommandResult, type Lab, waitFor } from '../lab/index.js';
import { checkout, program } from './checkout.js';
import { AgentProgram, ControlProgram, configFile, joinGateway } from './programs.js';

export interface DeploymentOptions<Name extends string> {
  readonly lab: Lab<Name>;
  /** Host and address of the control plane; the operator works there too. */
  readonly control: { readonly host: Name; readonly address: string };
  /** Host of the agent, and the gateway's name. */
  readonly gateway: Name;
  readonly driver: string;
  readonly labels?: readonly string[];
  readonly controlFlags?: readonly string[];
  /** Told as it is built, for people. */
  readonly progress?: (what: string) => void;
}

/** A forward or an egress as `-o json` prints it, as far as tests ask for it. */
export interface PlacedOutput {
  readonly metadata: { readonly name: string; readonly labels: Readonly<Record<string, string>> };
  readonly spec: Readonly<Record<string, unknown>>;
  readonly status: { readonly placements: readonly PlacementOutput[] };
}

export interface PlacementOutput {
  readonly gateway: string;
  readonly state: string;
  readonly driver: string;
  readonly targets?: readonly { readonly host: string; readonly address: string; readonly health?: string }[];
  readonly conditions?: readonly {
    readonly type: string;
    readonly status: string;
    readonly reason: string;
    readonly message: string;
  }[];
}

export class Deployment<Name extends string> {
  /** Address and port of the control plane's API. */
  readonly server: string;
  readonly caFile: string;
  readonly tokenFile: string;

  private constructor(
    readonly lab: Lab<Name>,
    readonly control: ControlProgram,
    readonly agent: AgentProgram,
    private readonly options: DeploymentOptions<Name>,
  ) {
    this.server = `${options.control.address}:7443`;
    this.caFile = join(lab.path, 'control', 'ca.crt');
    this.tokenFile = join(lab.path, 'control', 'admin.token');
  }

  /** The hosts and what runs on them must be there already. What fails to start is left to who destroys the lab. */
  static async start<Name extends string>(options: DeploymentOptions<Name>): Promise<Deployment<Name>> {
    const { lab, gateway, driver, controlFlags: flags = [], labels = [], progress: say = () => undefined } = options;
    const { host, address } = options.control;
    const control = new ControlProgram({ host: lab.host(host), dataDir: join(lab.path, 'control'), address, flags });
    const agent = new AgentProgram({ host: lab.host(gateway), stateDir: join(lab.path, gateway), driver });
    const site = new Deployment(lab, control, agent, options);
    say(`starting the control plane with its embedded PostgreSQL on ${address}`);
    await control.start();
    await site.gwctl(['login', '--server', site.server, '--ca', site.caFile, '--token-file', site.tokenFile]);
    say(`adding gateway ${gateway}, joining and starting its agent`);
    const labelled = labels.flatMap((label) => ['--label', label]);
    const joinString = (await site.gwctl(['gateway', 'add', gateway, ...labelled])).stdout.trim();
    const joined = await site.join(joinString);
    if (joined.code !== 0) throw new Error(`join failed: ${joined.stderr}`);
    await agent.start();
    return site;
  }

  async stop(): Promise<void> {
    await this.lab.destroy();
  }

  /** Runs gwctl as the operator. */
  gwctl(args: readonly string[], options: { allowFailure?: boolean; timeoutMs?: number } = {}): Promise<CommandResult> {
    return this.lab.host(this.options.control.host).exec([program('gwctl'), ...args], {
      timeoutMs: 45_000,
      env: { GWCTL_CONFIG: configFile(this.lab.path) },
      ...options,
    });
  }

  /** Joins the gateway with a join string; the result is the program's. */
  join(joinString: string, stateDir: string = this.options.gateway): Promise<CommandResult> {
    return joinGateway(this.lab.host(this.options.gateway), join(this.lab.path, stateDir), joinString);
  }

  /** Runs a file of `examples/` as the operator: what people copy is what is tested. */
  example(file: string): Promise<CommandResult> {
    return this.lab.host(this.options.control.host).exec(['sh', join(checkout, 'examples', file)], {
      timeoutMs: 60_000,
      env: { GWCTL_CONFIG: configFile(this.lab.path), PATH: `${dirname(program('gwctl'))}:${process.env.PATH ?? ''}` },
    });
  }

  async forward(name: string): Promise<PlacedOutput> {
    return JSON.parse((await this.gwctl(['forward', 'get', name, '-o', 'json'])).stdout) as PlacedOutput;
  }

  /** Of the forward's one gateway. */
  async placement(forward: string): Promise<PlacementOutput> {
    const [placement] = (await this.forward(forward)).status.placements;
    if (!placement) throw new Error(`forward ${forward} is on no gateway`);
    return placement;
  }

  /** Awaits what the forward's one placement says. `timeoutMs` default 15 000. */
  placementShows(
    forward: string,
    condition: (placement: PlacementOutput) => boolean,
    options: { what: string; timeoutMs?: number },
  ): Promise<PlacementOutput> {
    const look = async () => {
      const placement = await this.placement(forward);
      return condition(placement) ? placement : undefined;
    };
    return waitFor(look, { what: `${forward}: ${options.what}`, timeoutMs: options.timeoutMs ?? 15_000, intervalMs: 100 });
  }
}
