import { createInterface } from 'node:readline';
import type { JsonValue } from '@bufbuild/protobuf';
import { AppError, type Code } from '@gwctl/shared/errors/app-error';
import type { Host, RunningProcess } from '../lab/index.js';

interface Answer {
  readonly id: number;
  readonly response?: JsonValue;
  readonly error?: { code: Code; reason: string; message: string; violations: { field: string; description: string }[] };
}

/** Calls the control plane's API from a host of the lab, without the cost of a process for each call. */
export class Operator {
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  #nextId = 1;

  private constructor(readonly process: RunningProcess) {
    createInterface({ input: process.stdoutStream }).on('line', (line) => {
      const answer = JSON.parse(line) as Answer;
      this.#waiting.get(answer.id)?.(answer);
      this.#waiting.delete(answer.id);
    });
  }

  static async start(
    host: Host,
    options: { main: string; server: string; caFile: string; tokenFile: string },
  ): Promise<Operator> {
    const argv = [process.execPath, options.main, options.server, options.caFile, options.tokenFile];
    return new Operator(await host.spawn(argv, { ready: /"id":0/ }));
  }

  /** `call('ForwardService.GetForward', { name })`, in protobuf's JSON form. @throws AppError */
  async call<T = Record<string, JsonValue>>(method: string, request: JsonValue, options: { token?: string } = {}): Promise<T> {
    const id = this.#nextId++;
    const answer = await new Promise<Answer>((resolve) => {
      this.#waiting.set(id, resolve);
      this.process.stdin.write(`${JSON.stringify({ id, method, request, ...options })}\n`);
    });
    if (answer.error) throw new AppError(answer.error);
    return answer.response as T;
  }

  /** A forward to one target on one port, everything else as it is by default. */
  createForward(forward: {
    name: string;
    gateway: string;
    listen: string;
    target: string;
    protocol?: 'tcp' | 'udp';
  }): Promise<unknown> {
    const [address = '', listenPort = ''] = forward.listen.split(':');
    const [host = '', targetPort = ''] = forward.target.split(':');
    return this.call('ForwardService.CreateForward', {
      forward: {
        name: forward.name,
        spec: {
          gateway: forward.gateway,
          listen: {
            address,
            protocol: forward.protocol === 'udp' ? 'PROTOCOL_UDP' : 'PROTOCOL_TCP',
            ports: { first: Number(listenPort), last: Number(listenPort) },
          },
          targets: [{ host, port: Number(targetPort) }],
          enabled: true,
        },
      },
    });
  }
}
