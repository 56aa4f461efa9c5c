/** The two programs that make load, and the conversation with them. */
import { extname, join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Host, RunningProcess } from '../lab/index.js';
import { manyDescriptors } from './descriptors.js';
import type { LoadAnswer, LoadCommand, TargetAnswer } from './protocol.js';

/** One JSON line asked, one answered. */
class Conversation<Answer> {
  readonly #waiting: { resolve: (answer: Answer) => void; reject: (error: Error) => void }[] = [];

  constructor(readonly process: RunningProcess) {
    createInterface({ input: process.stdoutStream }).on('line', (line) => {
      if (line !== 'ready') this.#waiting.shift()?.resolve(JSON.parse(line) as Answer);
    });
    void process.exited.then(() => {
      for (const { reject } of this.#waiting.splice(0)) reject(process.failure('a load program ended'));
    });
  }

  ask(line: string): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.process.stdin.write(`${line}\n`);
    });
  }
}

/** The program beside this file, as TypeScript where the tests run from source and as JavaScript where they are compiled. */
function program(name: string): string[] {
  const source = import.meta.filename.endsWith('.ts');
  const hooks = source ? ['--import', join(import.meta.dirname, 'from-source.mjs')] : [];
  const file = join(import.meta.dirname, `${name}${extname(import.meta.filename)}`);
  return [...manyDescriptors, process.execPath, '--no-warnings', ...hooks, file];
}

export class Load {
  readonly #talk: Conversation<LoadAnswer>;

  private constructor(process: RunningProcess) {
    this.#talk = new Conversation(process);
  }

  static async start(host: Host): Promise<Load> {
    return new Load(await host.spawn(program('load-main'), { ready: /ready/ }));
  }

  /** @throws Error when it did not work, or took a time that it cannot take */
  async run(command: LoadCommand): Promise<LoadAnswer> {
    const limit = ('ms' in command ? command.ms : 0) + 30_000;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`${JSON.stringify(command)}: no end within ${limit} ms`)), limit);
    });
    const answer = await Promise.race([this.#talk.ask(JSON.stringify(command)), late]).finally(() => clearTimeout(timer));
    if (answer.error !== undefined) throw new Error(`${JSON.stringify(command)}: ${answer.error}`);
    return answer;
  }

  async stop(): Promise<void> {
    await this.#talk.process.stop('SIGKILL');
  }
}

export class Target {
  readonly #talk: Conversation<TargetAnswer>;

  private constructor(process: RunningProcess) {
    this.#talk = new Conversation(process);
  }

  static async start(
    host: Host,
    ports: Readonly<Partial<Record<'discard' | 'echo' | 'pour' | 'udp', readonly number[]>>>,
  ): Promise<Target> {
    const words = [ports.discard, ports.echo, ports.pour, ports.udp].map((list) => (list ?? []).join());
    return new Target(await host.spawn([...program('target-main'), ...words], { ready: /ready/ }));
  }

  counts(): Promise<TargetAnswer> {
    return this.#talk.ask('');
  }

  async stop(): Promise<void> {
    await this.#talk.process.stop('SIGKILL');
  }
}
