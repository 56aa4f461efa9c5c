import type { TLSSocket } from 'node:tls';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { AppError } from '@gwctl/shared/errors/app-error';
import { serviceDefinition } from '@gwctl/shared/grpc/definition';
import type { Logger } from '@gwctl/shared/logging/logger';
import {
  type BeforeApplicationShutdown,
  Inject,
  Injectable,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
} from '@nestjs/common';
import { Ca } from '../ca/ca.js';
import { LOGGER } from '../config/clock.js';
import { formatAddress } from '../config/config.js';
import { AUTHENTICATOR, type Authenticator } from './authenticator.js';
import { authorizationInterceptor } from './authorization.js';
import { GrpcRegistry } from './registry.js';
import { ServerAddresses } from './server-addresses.js';
import { implement } from './service.js';
import { TlsListener } from './tls-listener.js';

const MAX_MESSAGE_BYTES = 1 << 20;
const RENEW_CHECK_MS = 3_600_000;
/** How long calls may take to end after the server said that it leaves. */
const DRAIN_MS = 5_000;
const FLUSH_MS = 1_000;

const OPTIONS = {
  'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
  'grpc.max_send_message_length': MAX_MESSAGE_BYTES,
  // A peer that is gone without a word is noticed within 30 s.
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 20_000,
  'grpc.keepalive_permit_without_calls': 1,
  // Without the grace a bidirectional stream would outlive any age.
  'grpc.max_connection_age_ms': 3_600_000,
  'grpc.max_connection_age_grace_ms': 30_000,
  'grpc.max_concurrent_streams': 100,
  'grpc-node.max_session_memory': 10,
};

/** The gRPC server: grpc-js on our own TLS listener, every call through the one gate. */
@Injectable()
export class GrpcServer implements OnApplicationBootstrap, BeforeApplicationShutdown, OnApplicationShutdown {
  private readonly log: Logger;
  private server: Server | undefined;
  private listener: TlsListener | undefined;
  private renewal: NodeJS.Timeout | undefined;
  private readonly streams = new Set<AbortController>();

  constructor(
    @Inject(LOGGER) logger: Logger,
    @Inject(ServerAddresses) private readonly addresses: ServerAddresses,
    @Inject(Ca) private readonly ca: Ca,
    @Inject(GrpcRegistry) private readonly registry: GrpcRegistry,
    @Inject(AUTHENTICATOR) private readonly authenticator: Authenticator,
  ) {
    this.log = logger.child({ component: 'grpc' });
  }

  async onApplicationBootstrap(): Promise<void> {
    const gate = authorizationInterceptor({
      authenticator: this.authenticator,
      logger: this.log,
      onAuthenticated: (address, port) => this.listener?.authenticated(address, port),
      streams: this.streams,
    });
    const server = new Server({ ...OPTIONS, interceptors: [gate] });
    for (const service of this.registry.services) server.addService(serviceDefinition(service.descriptor), implement(service));
    const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
    const first = await this.issue();
    const listener = new TlsListener({
      credentials: first.credentials,
      logger: this.log,
      // grpc-js sees an established connection; TLS, its version and its certificates are the listener's.
      onConnection: (socket: TLSSocket) => injector.injectConnection(socket),
    });
    this.addresses.port = await listener.listen(this.addresses.listen);
    this.server = server;
    this.listener = listener;
    this.renewBefore(first.renewAt);
    this.log.info({ listen: formatAddress(this.addresses.listen), advertised: this.addresses.advertised }, 'gRPC is up');
  }

  /** Watches never end by themselves, so they are told. */
  beforeApplicationShutdown(): void {
    for (const stream of this.streams) stream.abort(leaving());
  }

  /** Ends what is still running; sessions have said GoAway by then (they end before the application shuts down). */
  async onApplicationShutdown(): Promise<void> {
    clearInterval(this.renewal);
    this.listener?.stopAccepting();
    await new Promise<void>((resolve) => {
      if (!this.server) return resolve();
      const force = setTimeout(() => {
        this.server?.forceShutdown();
        resolve();
      }, DRAIN_MS);
      this.server.tryShutdown(() => {
        clearTimeout(force);
        resolve();
      });
    });
    // The last statuses are written, not yet sent: a socket that is destroyed now would swallow them.
    await this.listener?.end(FLUSH_MS);
  }

  private async issue() {
    const made = await this.ca.issueToServer(this.addresses.certificateHosts);
    return {
      // The CA goes along: an agent that only has its fingerprint, from a join string, finds it in the chain.
      credentials: { key: made.keyPem, cert: made.certificatePem + this.ca.bundle, ca: this.ca.bundle },
      renewAt: (Date.now() + made.expires) / 2,
    };
  }

  private renewBefore(first: number): void {
    let renewAt = first;
    this.renewal = setInterval(() => {
      if (Date.now() < renewAt) return;
      this.issue().then(
        (next) => {
          this.listener?.renew(next.credentials);
          renewAt = next.renewAt;
          this.log.info('renewed the server certificate');
        },
        (error: unknown) => this.log.error({ err: error }, 'could not renew the server certificate; trying again'),
      );
    }, RENEW_CHECK_MS);
    this.renewal.unref();
  }
}

const leaving = (): AppError =>
  new AppError({ code: 'UNAVAILABLE', reason: 'SHUTDOWN', message: 'the control plane is about to leave; watch again' });
