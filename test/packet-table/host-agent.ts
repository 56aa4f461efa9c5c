import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Host, RunningProcess } from '../lab/index.js';
import type { HostCommand, HostWanted, LookedAtHost, SeenFlow, WantedFlows } from './host-protocol.js';

interface Answer {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: string;
}

/** The agent's parts for the host beside its rules, at work in a host of the lab. */
export class HostAgent {
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
      const error = String(running.failure('the program ended'));
      for (const [id, tell] of this.#waiting) tell({ id, error });
    });
  }

  static async on(host: Host, stateDir: string): Promise<HostAgent> {
    const program = fileURLToPath(new URL('./host-main.ts', import.meta.url));
    const running = await host.spawn([process.execPath, '--no-warnings', program, stateDir], { ready: /"id":0/ });
    return new HostAgent(running);
  }

  /** One reconcile; the titles of its steps. */
  want(wanted: HostWanted): Promise<readonly string[]> {
    return this.#call({ op: 'want', wanted });
  }

  look(): Promise<LookedAtHost> {
    return this.#call({ op: 'look' });
  }

  cleanUp(): Promise<void> {
    return this.#call({ op: 'cleanUp' });
  }

  watch(): Promise<void> {
    return this.#call({ op: 'watch' });
  }

  seen(): Promise<number> {
    return this.#call({ op: 'seen' });
  }

  forwarding6(on: boolean): Promise<{ readonly on: boolean; readonly ours: boolean }> {
    return this.#call({ op: 'forwarding6', on });
  }

  advertise(name: string): Promise<void> {
    return this.#call({ op: 'advertise', interface: name });
  }

  flows(...matches: readonly WantedFlows[]): Promise<readonly SeenFlow[]> {
    return this.#call({ op: 'flows', matches });
  }

  removeFlows(...matches: readonly WantedFlows[]): Promise<number> {
    return this.#call({ op: 'removeFlows', matches });
  }

  probe(): Promise<{ readonly supported: boolean; readonly detail: string }> {
    return this.#call({ op: 'probe' });
  }

  stop(): Promise<unknown> {
    return this.#process.stop();
  }

  async #call<T>(command: HostCommand): Promise<T> {
    const id = this.#nextId++;
    const answer = await new Promise<Answer>((resolve) => {
      this.#waiting.set(id, resolve);
      this.#process.stdin.write(`${JSON.stringify({ ...command, id })}\n`);
    });
    if (answer.error !== undefined) throw new Error(answer.error);
    return answer.result as T;
  }
}
