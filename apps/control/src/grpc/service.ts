import { once } from 'node:events';
import {
  create,
  type DescMessage,
  type DescMethod,
  type DescService,
  type MessageInitShape,
  type MessageShape,
} from '@bufbuild/protobuf';
import type {
  handleBidiStreamingCall,
  handleServerStreamingCall,
  handleUnaryCall,
  ServerDuplexStream,
  ServerWritableStream,
  UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { AppError } from '@gwctl/shared/errors/app-error';
import { type CallContext, contextOf } from './call-context.js';
import { publicStatus } from './error-status.js';

type MethodOf<S extends DescService> = S['method'][keyof S['method']];
type InputOf<M> = M extends { input: infer I extends DescMessage } ? I : never;
type OutputOf<M> = M extends { output: infer O extends DescMessage } ? O : never;

/** A stream of an agent: messages in, messages or already encoded ones out. */
export type BidiCall<M extends DescMethod> = ServerDuplexStream<MessageShape<InputOf<M>>, MessageShape<OutputOf<M>> | Buffer>;

type Handler<M> = M extends { methodKind: 'unary' }
  ? (request: MessageShape<InputOf<M>>, context: CallContext) => Promise<MessageInitShape<OutputOf<M>>>
  : M extends { methodKind: 'server_streaming' }
    ? (request: MessageShape<InputOf<M>>, context: CallContext) => AsyncIterable<MessageInitShape<OutputOf<M>>>
    : M extends { methodKind: 'bidi_streaming' } & DescMethod
      ? (call: BidiCall<M>, context: CallContext) => void
      : never;

/** One handler for each method of a service; a missing or a misnamed one does not compile. */
export type Implementation<S extends DescService> = { readonly [K in keyof S['method']]: Handler<S['method'][K]> };

/** A service as the server registers it. */
export interface GrpcService<S extends DescService = DescService> {
  readonly descriptor: S;
  readonly implementation: Implementation<S>;
}

/** Wraps typed handlers for grpc-js: contexts in, AppErrors out as statuses, back-pressure honoured on streams. */
export function implement<S extends DescService>(service: GrpcService<S>): UntypedServiceImplementation {
  const handlers = service.implementation as unknown as Record<string, unknown>;
  return Object.fromEntries(
    service.descriptor.methods.map((method) => [method.localName, wrap(method, handlers[method.localName])]),
  );
}

function wrap(method: DescMethod, handler: unknown): UntypedServiceImplementation[string] {
  switch (method.methodKind) {
    case 'unary':
      return unary(method.output, handler as UnaryHandler);
    case 'server_streaming':
      return serverStreaming(method.output, handler as StreamHandler);
    case 'bidi_streaming':
      return bidi(handler as BidiHandler);
    case 'client_streaming':
      throw new Error(`${method.name}: client streaming is not used here`);
  }
}

type Message = MessageShape<DescMessage>;
type UnaryHandler = (request: Message, context: CallContext) => Promise<MessageInitShape<DescMessage>>;
type StreamHandler = (request: Message, context: CallContext) => AsyncIterable<MessageInitShape<DescMessage>>;
type BidiHandler = (call: ServerDuplexStream<Message, Message | Buffer>, context: CallContext) => void;

function unary(output: DescMessage, handler: UnaryHandler): handleUnaryCall<Message, Message> {
  return (call, respond) => {
    const context = contextOf(call.metadata);
    handler(call.request, context).then(
      (response) => respond(null, create(output, response)),
      (failure: unknown) => respond(failed(failure, context)),
    );
  };
}

function serverStreaming(output: DescMessage, handler: StreamHandler): handleServerStreamingCall<Message, Message> {
  return (call) => {
    const context = contextOf(call.metadata);
    const { signal } = context;
    pump(call, output, handler(call.request, context), context)
      // Aborted with a reason of ours: the server leaves. Otherwise the caller is gone, and nobody is there to be told.
      .then(() => signal.throwIfAborted())
      .catch((failure: unknown) => {
        const reason: unknown = signal.aborted ? signal.reason : failure;
        if (!signal.aborted || reason instanceof AppError) call.emit('error', failed(reason, context));
      });
  };
}

async function pump(
  call: ServerWritableStream<Message, Message>,
  output: DescMessage,
  messages: AsyncIterable<MessageInitShape<DescMessage>>,
  context: CallContext,
): Promise<void> {
  for await (const message of messages) {
    if (context.signal.aborted) return;
    if (!call.write(create(output, message))) await once(call, 'drain', { signal: context.signal });
  }
  if (!context.signal.aborted) call.end();
}

function bidi(handler: BidiHandler): handleBidiStreamingCall<Message, Message> {
  return (call) => {
    const context = contextOf(call.metadata);
    try {
      handler(call, context);
    } catch (failure) {
      call.emit('error', failed(failure, context));
    }
  };
}

/** The failure as a status for the caller; what is ours to fix goes to the log with its cause. */
export function failed(failure: unknown, context: CallContext): ReturnType<typeof publicStatus> {
  const error = AppError.from(failure);
  if (error.code === 'INTERNAL') context.logger.error({ err: error.cause ?? error }, 'call failed');
  else context.logger.debug({ code: error.code, reason: error.reason, err: error.cause }, error.message);
  return publicStatus(error, context.requestId);
}

export type { MethodOf };
