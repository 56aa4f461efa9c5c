import { create } from '@bufbuild/protobuf';
import type { ClientDuplexStream, ServiceError } from '@grpc/grpc-js';
import { Metadata } from '@grpc/grpc-js';
import {
  type SessionRequest,
  SessionRequestSchema,
  type SessionResponse,
  SessionService,
} from '@gwctl/proto/gwctl/agent/v1/agent_pb';
import { methodDefinition } from '@gwctl/shared/grpc/definition';
import { fromServiceError } from '@gwctl/shared/grpc/status';
import type { Identity } from '../identity/identity.js';
import { openClient } from './channel.js';
import { type Outbound, readInbound } from './mapper.js';
import type { Inbound } from './session-core.js';

/** One live stream, as the control link uses it. */
export interface SessionStream {
  /** False: the peer reads too slowly; wait for {@link drained} before the next. */
  send(message: Outbound): boolean;
  /** Resolves when there is room again, or the stream is over. */
  drained(): Promise<void>;
  /** What came, in order, as much as there was at once. Ends with the stream; throws an AppError where that failed. */
  inbound(): AsyncIterable<readonly Inbound[]>;
  /** Gives the stream up. */
  end(): void;
}

export type Connect = (server: string, identity: Identity) => SessionStream;

/** The most messages handed on at once: they are written to the disk together. */
const BATCH = 256;

export const connectGrpc: Connect = (server, identity) => new GrpcStream(server, identity);

class GrpcStream implements SessionStream {
  private readonly client: ReturnType<typeof openClient>;
  private readonly call: ClientDuplexStream<SessionRequest, SessionResponse>;
  private over = false;
  private failure: ServiceError | undefined;
  private readonly waiters = new Set<() => void>();

  constructor(server: string, identity: Identity) {
    this.client = openClient(server, identity);
    const { path, requestSerialize, responseDeserialize } = methodDefinition(SessionService.method.session);
    this.call = this.client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, new Metadata());
    const notify = () => {
      for (const wake of [...this.waiters]) wake();
    };
    this.call.on('readable', notify);
    this.call.on('drain', notify);
    this.call.on('end', () => {
      this.over = true;
      notify();
    });
    this.call.on('error', (error: ServiceError) => {
      this.failure ??= error;
      this.over = true;
      notify();
    });
  }

  send(message: Outbound): boolean {
    if (this.over) return true;
    return this.call.write(create(SessionRequestSchema, message));
  }

  async drained(): Promise<void> {
    while (!this.over && this.call.writableNeedDrain) await this.something();
  }

  async *inbound(): AsyncGenerator<readonly Inbound[]> {
    for (;;) {
      const batch: Inbound[] = [];
      while (batch.length < BATCH) {
        const message: SessionResponse | null = this.call.read();
        if (message === null) break;
        batch.push(readInbound(message));
      }
      if (batch.length > 0) yield batch;
      else if (this.failure) throw fromServiceError(this.failure);
      else if (this.over) return;
      else await this.something();
    }
  }

  end(): void {
    this.call.cancel();
    this.client.close();
  }

  private something(): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        this.waiters.delete(wake);
        resolve();
      };
      this.waiters.add(wake);
    });
  }
}
