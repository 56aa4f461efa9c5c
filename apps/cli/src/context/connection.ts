import { isIP } from 'node:net';
import { checkServerIdentity } from 'node:tls';
import type { DescMessage, DescMethodServerStreaming, DescMethodUnary, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import { type ChannelOptions, Client, credentials } from '@grpc/grpc-js';
import { AppError } from '@gwctl/shared/errors/app-error';
import { serverStream, unary } from '@gwctl/shared/grpc/client';
import { CliError } from '../errors/cli-error.js';
import { formatDuration } from '../flags/duration.js';
import type { Server } from '../flags/server.js';
import type { Clock } from '../system.js';
import { diagnose } from './diagnose.js';

/** Lists arrive a page at a time; a page of large forwards is more than grpc-js's 4 MiB. */
const MAX_MESSAGE = 64 << 20;

/**
 * grpc-js puts an address into TLS's server name, which RFC 6066 section 3 forbids and Node.js warns of (DEP0123); it cannot be
 * told to leave it out, so an address goes by a name that can never exist.
 */
const namedInHandshake = (host: string): ChannelOptions =>
  isIP(host) ? { 'grpc.ssl_target_name_override': 'control.gwctl.invalid' } : {};

export interface ConnectionOptions {
  readonly server: Server;
  /** PEM. */
  readonly ca: string;
  readonly token: string;
  /** Milliseconds for one call; streams have no limit. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** Told about each call, for --verbose. */
  readonly trace: (line: string) => void;
  readonly newId: () => string;
  readonly clock: Clock;
}

/** Calls to one control plane. Failures are CliErrors or, where the control plane itself answered, AppErrors. */
export class Connection {
  readonly #options: ConnectionOptions;
  readonly #client: Client;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    const { host, text } = options.server;
    const trust = credentials.createSsl(Buffer.from(options.ca), null, null, {
      // Always the name or address that was asked for, whatever the handshake called it.
      checkServerIdentity: (_name, certificate) => checkServerIdentity(host, certificate),
    });
    this.#client = new Client(`dns:///${text}`, trust, {
      ...namedInHandshake(host),
      'grpc.max_receive_message_length': MAX_MESSAGE,
      // Both cost a look-up or take another way than the one that was asked for.
      'grpc.service_config_disable_resolution': 1,
      'grpc.enable_http_proxy': 0,
      // Somebody waits at a terminal: a control plane that comes back should not be found a minute later.
      'grpc.initial_reconnect_backoff_ms': 200,
      'grpc.max_reconnect_backoff_ms': 1000,
      'grpc.keepalive_time_ms': 10_000,
      'grpc.keepalive_timeout_ms': 20_000,
    });
  }

  async call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
  ): Promise<MessageShape<O>> {
    const { timeoutMs, signal, clock } = this.#options;
    const id = this.#options.newId();
    const started = clock.now();
    this.#checkInterrupted(method.name);
    try {
      const response = await unary(this.#client, method, request, { timeoutMs, signal, metadata: this.#metadata(id) });
      this.#trace(id, method.name, 'ok', started);
      return response;
    } catch (error) {
      throw await this.#failure(error, id, method.name, started);
    }
  }

  /** Ends without an error when `signal` is aborted. */
  async *stream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodServerStreaming<I, O>,
    request: MessageInitShape<I>,
    signal: AbortSignal,
  ): AsyncGenerator<MessageShape<O>> {
    const id = this.#options.newId();
    const started = this.#options.clock.now();
    if (signal.aborted) return;
    try {
      yield* serverStream(this.#client, method, request, { signal, metadata: this.#metadata(id) });
      this.#trace(id, method.name, 'ended', started);
    } catch (error) {
      if (signal.aborted) return;
      throw await this.#failure(error, id, method.name, started);
    }
  }

  close(): void {
    this.#client.close();
  }

  #metadata(id: string) {
    return { authorization: `Bearer ${this.#options.token}`, 'x-request-id': id };
  }

  #checkInterrupted(method: string): void {
    if (this.#options.signal.aborted) throw new CliError({ kind: 'interrupted', message: `interrupted during ${method}` });
  }

  #trace(id: string, method: string, outcome: string, started: number): void {
    this.#options.trace(`request ${id} ${method}: ${outcome} after ${formatDuration(this.#options.clock.now() - started)}`);
  }

  async #failure(error: unknown, id: string, method: string, started: number): Promise<Error> {
    const failed = AppError.from(error);
    this.#trace(id, method, `${failed.code}${failed.reason === failed.code ? '' : ` ${failed.reason}`}`, started);
    this.#checkInterrupted(method);
    const { server, ca, timeoutMs } = this.#options;
    if (failed.code === 'DEADLINE_EXCEEDED')
      return new CliError({
        kind: 'error',
        message: `the control plane at ${server.text} did not answer ${method} within ${formatDuration(timeoutMs)}`,
        hint: 'it may or may not have done it; look before you repeat, and give it longer with --timeout',
        cause: failed,
      });
    // With an ErrorInfo it is the control plane that says so; without one nobody answered.
    if (failed.code === 'UNAVAILABLE' && failed.reason === 'UNAVAILABLE') return diagnose({ server, ca, cause: failed });
    return failed;
  }
}
