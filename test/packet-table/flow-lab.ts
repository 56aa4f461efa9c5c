import { type Flow, Lab, type NoAnswer } from '../lab/index.js';
import { dropByDefault } from './foreign.js';
import { type ForwardOptions, forward } from './forwards.js';
import { Gateway } from './gateway.js';
import type { WantedForward } from './gateway-protocol.js';
import { join, type Net } from './net.js';
import { peerAddress } from './rows.js';
import { SERVERS } from './states.js';
import { type TableDriver, type TableHost, topology } from './topology.js';

/** A packet that gets no answer costs this long. */
const TIMEOUT_MS = 300;

export type Proto = 'tcp' | 'udp';

export interface FlowOptions {
  readonly proto?: Proto;
  /** Source address and port. */
  readonly from?: string;
  readonly sourcePort?: number;
  /** Default: the VIP, port 443. */
  readonly to?: string;
  readonly port?: number;
}

/** The table's hosts with a driver at work, and flows that stay open to see what a change does to them. */
export class FlowLab {
  readonly #open: Flow[] = [];

  private constructor(
    readonly lab: Lab<TableHost>,
    readonly gateway: Gateway,
    readonly driver: TableDriver,
  ) {}

  /** `quiet`: no other tool has rules on the gateway. */
  static async start(driver: TableDriver, options: { readonly quiet?: boolean } = {}): Promise<FlowLab> {
    const lab = await Lab.create(topology);
    try {
      if (!options.quiet) await dropByDefault(lab.host('gw'), driver);
      for (const host of ['srv', 'off', 'far', 'cli'] as const) await lab.host(host).serve(SERVERS[host]);
      const started = new FlowLab(lab, await Gateway.on(lab.host('gw')), driver);
      await started.restart();
      return started;
    } catch (error) {
      await lab.destroy();
      throw error;
    }
  }

  /** A driver without memory, as after a restart of the agent. */
  async restart(driver: TableDriver = this.driver): Promise<void> {
    await this.gateway.start(driver, this.lab.directory('state'));
  }

  /** After each test: nothing of ours, and the driver that it started with. */
  async reset(): Promise<void> {
    await Promise.all(this.#open.splice(0).map((flow) => flow.close()));
    await this.gateway.cleanUp();
    await this.lab.host('gw').exec(['conntrack', '-F'], { allowFailure: true });
  }

  async stop(): Promise<void> {
    await this.lab.destroy();
  }

  /** What one family's clients do. */
  of(net: Net) {
    const cli = this.lab.host('cli');
    const flowTo = ({ to, port, ...rest }: FlowOptions) => ({
      proto: 'tcp' as const,
      to: to ?? net.vip,
      port: port ?? 443,
      ...rest,
    });
    return {
      /** Opens a flow that stays. @throws Error when nobody answers */
      connect: async (options: FlowOptions = {}): Promise<Flow> => {
        const flow = await cli.open({ ...flowTo(options), timeoutMs: 1000 });
        this.#open.push(flow);
        return flow;
      },
      /** Which target answers a new flow; with a source port, of UDP, one that goes on. */
      ask: async (options: FlowOptions = {}): Promise<string> => {
        const answer = await cli.ask({ ...flowTo(options), timeoutMs: TIMEOUT_MS });
        return typeof answer === 'string' ? answer : answer.local;
      },
      /** The source address that the target sees. */
      seenAs: async (options: FlowOptions = {}): Promise<string> => {
        const answer = await cli.ask({ ...flowTo(options), timeoutMs: TIMEOUT_MS });
        return typeof answer === 'string' ? answer : peerAddress(answer.peer);
      },
      tcp: (target: string | readonly string[], options: ForwardOptions = {}): WantedForward =>
        forward(`${join(net.vip, 443)}/tcp`, target, options),
      udp: (target: string | readonly string[], options: ForwardOptions = {}): WantedForward =>
        forward(`${join(net.vip, 443)}/udp`, target, options),
      both: (target: string | readonly string[], options: ForwardOptions = {}): WantedForward =>
        forward(`${join(net.vip, 443)}/tcp+udp`, target, options),
      /** Stays in place, so that the forward under test is not the last one. */
      other: forward(`${join(net.vip, 9)}/tcp`, join(net.t20, 53)),
    };
  }
}

export const lives = (flow: Flow): Promise<'echoed' | NoAnswer> => flow.echo('still there', { timeoutMs: TIMEOUT_MS });

/** What is left of ours in the packet filters of the gateway. */
export async function ours(lab: Lab<TableHost>): Promise<readonly string[]> {
  const rules = JSON.stringify(await lab.snapshotRules('gw', { without: null }));
  return [...new Set(rules.match(/GWCTL-[A-Z]+|gwctl:companion|table ip6? gwctl/g) ?? [])].sort();
}
