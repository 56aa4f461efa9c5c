/** The serving half of the fake control plane: TLS, calls that are noted, refused, failed or never answered, and watches. */
import type { DescMethod, DescService } from '@bufbuild/protobuf';
import { Server, ServerCredentials, type ServerUnaryCall, type ServerWritableStream, type sendUnaryData } from '@grpc/grpc-js';
import { AppError } from '@gwctl/shared/errors/app-error';
import { serviceDefinition } from '@gwctl/shared/grpc/definition';
import { toStatus } from '@gwctl/shared/grpc/status';
import { makeCertificates, type TestCertificates } from './certificates.js';

export const TOKEN = 'gwctl-test-token';

/** One call as it came in. */
export interface SeenCall {
  readonly method: string;
  readonly request: unknown;
  readonly requestId: string;
}

export interface FakeServerOptions {
  /** What stands in the certificate; default 127.0.0.1 and localhost. */
  readonly names?: readonly string[];
  /** The certificate's life; negative for one that has expired. */
  readonly days?: number;
  /** Default: any that is free. */
  readonly port?: number;
  readonly certificates?: TestCertificates;
}

type Answer = { readonly fails: AppError } | { readonly hangs: true };
type Handlers = Readonly<Record<string, (request: never) => unknown>>;
type Call = ServerUnaryCall<unknown, unknown> | ServerWritableStream<unknown, unknown>;

export class FakeServer {
  readonly certificates: TestCertificates;
  readonly port: number;
  readonly calls: SeenCall[] = [];
  readonly #server: Server;
  readonly #answers = new Map<string, Answer[]>();
  readonly #watchers = new Set<() => void>();
  readonly #ends = new Set<() => void>();
  readonly #waiting: { readonly method: string; readonly found: () => void }[] = [];

  private constructor(server: Server, certificates: TestCertificates, port: number) {
    this.#server = server;
    this.certificates = certificates;
    this.port = port;
  }

  static async start(options: FakeServerOptions): Promise<FakeServer> {
    const names = options.names ?? ['127.0.0.1', 'localhost'];
    const certificates =
      options.certificates ?? (await makeCertificates({ names, ...(options.days === undefined ? {} : { days: options.days }) }));
    const server = new Server();
    const pair = { private_key: Buffer.from(certificates.key), cert_chain: Buffer.from(certificates.certificate) };
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync(`127.0.0.1:${options.port ?? 0}`, ServerCredentials.createSsl(null, [pair]), (error, bound) =>
        error ? reject(error) : resolve(bound),
      );
    });
    return new FakeServer(server, certificates, port);
  }

  stop(): void {
    this.#server.forceShutdown();
  }

  /** The next call of this method is answered so. */
  answerNext(method: string, answer: Answer): void {
    this.#answers.set(method, [...(this.#answers.get(method) ?? []), answer]);
  }

  /** Resolves once a call of this method comes in from now on. */
  nextCall(method: string): Promise<void> {
    return new Promise((found) => this.#waiting.push({ method, found }));
  }

  /** Lets every watch send what is now. */
  changed(): void {
    for (const watcher of [...this.#watchers]) watcher();
  }

  /** Ends every watch as a control plane that leaves does. */
  endWatches(): void {
    for (const end of [...this.#ends]) end();
  }

  /** Registers a service; each watch sends what its function gives now and after each change. */
  add(service: DescService, unary: Handlers, watches: Handlers = {}): void {
    const handlers = service.methods.map((m) => {
      const watch = watches[m.localName];
      return [m.localName, watch ? this.#watch(m, watch) : this.#unary(m, unary[m.localName])];
    });
    this.#server.addService(serviceDefinition(service), Object.fromEntries(handlers));
  }

  #unary(method: DescMethod, handle: ((request: never) => unknown) | undefined) {
    return (call: ServerUnaryCall<unknown, unknown>, callback: sendUnaryData<unknown>): void => {
      try {
        if (this.#hangs(method, call)) return;
        if (!handle)
          throw new AppError({ code: 'UNIMPLEMENTED', reason: 'UNIMPLEMENTED', message: `${method.name} is not built yet` });
        callback(null, handle(call.request as never));
      } catch (error) {
        callback(toStatus(AppError.from(error)));
      }
    };
  }

  #watch(method: DescMethod, current: (request: never) => unknown) {
    return (call: ServerWritableStream<unknown, unknown>): void => {
      const finish = (): void => {
        call.end();
      };
      const end = (): void => {
        this.#watchers.delete(send);
        this.#ends.delete(finish);
      };
      const send = (): void => {
        try {
          call.write(current(call.request as never));
        } catch (error) {
          end();
          call.emit('error', toStatus(AppError.from(error)));
        }
      };
      call.on('close', end);
      call.on('cancelled', end);
      try {
        if (this.#hangs(method, call)) return;
      } catch (error) {
        call.emit('error', toStatus(AppError.from(error)));
        return;
      }
      this.#watchers.add(send);
      this.#ends.add(finish);
      send();
    };
  }

  /** Notes the call, checks who calls, and fails where that was asked for. */
  #hangs(method: DescMethod, call: Call): boolean {
    this.calls.push({
      method: method.name,
      request: call.request,
      requestId: String(call.metadata.get('x-request-id')[0] ?? ''),
    });
    for (const waiting of this.#waiting.filter((w) => w.method === method.name)) {
      this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
      waiting.found();
    }
    if (call.metadata.get('authorization')[0] !== `Bearer ${TOKEN}`)
      throw new AppError({ code: 'UNAUTHENTICATED', reason: 'BAD_TOKEN', message: 'the token is not known or no longer good' });
    const answer = this.#answers.get(method.name)?.shift();
    if (answer && 'fails' in answer) throw answer.fails;
    return answer !== undefined;
  }
}
