import type { Host } from './host.js';
import type { ProberEvent, ProberOptions, ProberReport } from './prober-protocol.js';
import type { RunningProcess } from './running-process.js';

/**
 * Tries a listener again and again from a host, in a process of its own, and counts what was lost: new flows
 * (`attempts`) or one flow that must survive (`longFlow`). The listener must echo: a who-server does.
 */
export class Prober {
  #process: RunningProcess | undefined;

  constructor(
    private readonly host: Host,
    private readonly options: ProberOptions,
  ) {}

  start(): this {
    if (this.#process) throw new Error('this prober has been started already');
    this.#process = this.host.spawnNode('prober-main', [JSON.stringify(this.options)]);
    return this;
  }

  /** Awaits the first success; only what comes after it is counted. `timeoutMs` default 10 000. */
  async settled(options: { timeoutMs?: number } = {}): Promise<this> {
    await this.#running().waitForOutput(/"event":"settled"/, options);
    return this;
  }

  /** Ends it; attempts under way get their answer or time out first. */
  async stop(): Promise<ProberReport> {
    const process = this.#running();
    if (process.running) process.stdin.write('stop\n');
    const [line] = await process.waitForOutput(/^\{"event":"report".*$/m, {
      timeoutMs: (this.options.timeoutMs ?? 900) + 10_000,
    });
    await process.stop();
    const event = JSON.parse(line) as ProberEvent;
    if (event.event !== 'report') throw process.failure('no report');
    return event.report;
  }

  #running(): RunningProcess {
    if (!this.#process) throw new Error('this prober has not been started');
    return this.#process;
  }
}
