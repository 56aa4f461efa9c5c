import type { Socket } from 'node:net';
import {
  createServer as createTlsServer,
  type SecureContextOptions,
  type Server,
  type TLSSocket,
  type TlsOptions,
} from 'node:tls';
import { AppError } from '@gwctl/shared/errors/app-error';
import type { Logger } from '@gwctl/shared/logging/logger';
import { formatAddress, type ListenAddress } from '../config/config.js';
import { ConnectionCaps } from './connection-caps.js';

/** A handshake that takes longer is cut: a stalled one must not hold a slot. */
const HANDSHAKE_TIMEOUT_MS = 10_000;
/** A connection that has not proved who it is within this time after it came in is closed. */
const AUTHENTICATION_TIMEOUT_MS = 60_000;

/**
 * The one port for operators and agents. TLS 1.3 only, HTTP/2 only. A client certificate is asked for and not required: agents
 * present theirs, operators a token. One that our CA did not issue, or that is not valid now, ends the connection.
 */
export class TlsListener {
  private readonly server: Server;
  private readonly logger: Logger;
  private readonly caps = new ConnectionCaps();
  private readonly sockets = new Set<Socket>();
  private onEmpty = (): void => undefined;
  private readonly deadlines = new Map<string, NodeJS.Timeout>();

  constructor(options: {
    readonly credentials: SecureContextOptions & { readonly ca: string };
    readonly logger: Logger;
    /** Takes over an established connection. */
    readonly onConnection: (socket: TLSSocket) => void;
  }) {
    this.logger = options.logger.child({ component: 'tls' });
    const tls: TlsOptions = {
      ...options.credentials,
      minVersion: 'TLSv1.3',
      requestCert: true,
      rejectUnauthorized: false,
      ALPNProtocols: ['h2'],
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
    };
    this.server = createTlsServer(tls);
    this.server.on('connection', (socket: Socket) => this.admit(socket));
    this.server.on('secureConnection', (socket) => this.established(socket, options.onConnection));
    this.server.on('tlsClientError', (error, socket) => {
      this.logger.debug({ source: socket.remoteAddress, err: error }, 'TLS handshake failed');
      socket.destroy();
    });
  }

  /** Resolves with the port, which the kernel chose where it was 0. */
  listen(address: ListenAddress): Promise<number> {
    return new Promise((resolve, reject) => {
      const fail = (error: Error): void => reject(cannotListen(address, error));
      this.server.once('error', fail);
      this.server.listen({ host: address.host, port: address.port, backlog: 1024 }, () => {
        this.server.off('error', fail);
        this.server.on('error', (error) => this.logger.error({ err: error }, 'listener'));
        const bound = this.server.address();
        resolve(typeof bound === 'object' && bound !== null ? bound.port : address.port);
      });
    });
  }

  /** New connections get the new certificate; existing ones go on. */
  renew(credentials: SecureContextOptions & { readonly ca: string }): void {
    this.server.setSecureContext({ ...credentials, minVersion: 'TLSv1.3' });
  }

  /** The connection proved who it is; it no longer counts against its address. */
  authenticated(remoteAddress: string, remotePort: number): void {
    const key = `${remoteAddress}|${remotePort}`;
    this.caps.authenticated(key);
    this.endDeadline(key);
  }

  /** Stops to accept. */
  stopAccepting(): void {
    this.server.close();
  }

  /** Lets connections end by themselves for a while, then cuts what is left. */
  async end(graceMs: number): Promise<void> {
    if (this.sockets.size > 0)
      await new Promise<void>((resolve) => {
        this.onEmpty = resolve;
        setTimeout(resolve, graceMs).unref();
      });
    for (const socket of this.sockets) socket.destroy();
  }

  private admit(socket: Socket): void {
    const source = socket.remoteAddress ?? 'unknown';
    const key = `${source}|${socket.remotePort}`;
    socket.on('error', (error) => this.logger.debug({ source, err: error }, 'connection error'));
    if (!this.caps.admit(source, key)) {
      this.logger.debug({ source }, 'too many unauthenticated connections from this address');
      socket.destroy();
      return;
    }
    this.sockets.add(socket);
    socket.setNoDelay(true);
    this.deadlines.set(key, setTimeout(() => socket.destroy(), AUTHENTICATION_TIMEOUT_MS).unref());
    socket.once('close', () => {
      this.sockets.delete(socket);
      if (this.sockets.size === 0) this.onEmpty();
      this.caps.closed(key);
      this.endDeadline(key);
    });
  }

  private endDeadline(key: string): void {
    clearTimeout(this.deadlines.get(key));
    this.deadlines.delete(key);
  }

  private established(socket: TLSSocket, onConnection: (socket: TLSSocket) => void): void {
    socket.on('error', (error) => this.logger.debug({ source: socket.remoteAddress, err: error }, 'connection error'));
    // `raw` is only there when a certificate was presented.
    const presented = socket.getPeerCertificate().raw !== undefined;
    if (presented && socket.authorized !== true) {
      this.logger.info({ source: socket.remoteAddress, reason: String(socket.authorizationError) }, 'client certificate refused');
      socket.destroy();
    } else if (socket.alpnProtocol !== 'h2') socket.destroy();
    else {
      // A certificate of ours is proof enough for the count; what it may do is decided for each call.
      if (presented && socket.remoteAddress && socket.remotePort) this.authenticated(socket.remoteAddress, socket.remotePort);
      onConnection(socket);
    }
  }
}

/** What went wrong when a port was to be bound, and what to do. */
export const cannotListen = (address: ListenAddress, error: Error): AppError =>
  new AppError({
    code: 'FAILED_PRECONDITION',
    reason: 'CANNOT_LISTEN',
    message: `cannot listen on ${formatAddress(address)}: ${error.message}; free it, or choose another one`,
    cause: error,
  });
