import type { DescMessage, DescMethodServerStreaming, DescMethodUnary, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import { create } from '@bufbuild/protobuf';
import { Client, type ClientReadableStream, Metadata, type ServiceError } from '@grpc/grpc-js';
import { canonicalPath, methodDefinition } from './definition.js';
import { fromServiceError } from './status.js';

export interface CallOptions {
  /** Milliseconds until DEADLINE_EXCEEDED; default 30,000. Streams have none unless it is given. */
  readonly timeoutMs?: number;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

/** Calls one unary method; failures are AppErrors with what the server attached. */
export function unary<I extends DescMessage, O extends DescMessage>(
  client: Client,
  method: DescMethodUnary<I, O>,
  request: MessageInitShape<I>,
  options: CallOptions = {},
): Promise<MessageShape<O>> {
  const def = methodDefinition(method);
  return new Promise((resolve, reject) => {
    const call = client.makeUnaryRequest(
      canonicalPath(method),
      def.requestSerialize,
      def.responseDeserialize,
      create(method.input, request),
      metadataOf(options),
      { deadline: Date.now() + (options.timeoutMs ?? 30_000) },
      (error: ServiceError | null, response) => (error ? reject(fromServiceError(error)) : resolve(response)),
    );
    options.signal?.addEventListener('abort', () => call.cancel(), { once: true });
  });
}

/** Reads a server stream message by message; ending the loop early cancels the call. */
export async function* serverStream<I extends DescMessage, O extends DescMessage>(
  client: Client,
  method: DescMethodServerStreaming<I, O>,
  request: MessageInitShape<I>,
  options: CallOptions = {},
): AsyncGenerator<MessageShape<O>> {
  const def = methodDefinition(method);
  const call: ClientReadableStream<MessageShape<O>> = client.makeServerStreamRequest(
    canonicalPath(method),
    def.requestSerialize,
    def.responseDeserialize,
    create(method.input, request),
    metadataOf(options),
    options.timeoutMs === undefined ? {} : { deadline: Date.now() + options.timeoutMs },
  );
  options.signal?.addEventListener('abort', () => call.cancel(), { once: true });
  try {
    for await (const message of call) yield message as MessageShape<O>;
  } catch (error) {
    throw fromServiceError(error as ServiceError);
  } finally {
    call.cancel();
  }
}

export function metadataOf(options: CallOptions): Metadata {
  const metadata = new Metadata();
  for (const [key, value] of Object.entries(options.metadata ?? {})) metadata.set(key, value);
  return metadata;
}
