import type { DescMessage, DescMethod, DescService } from '@bufbuild/protobuf';
import { fromBinary, type MessageShape, toBinary } from '@bufbuild/protobuf';
import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js';

/**
 * Builds grpc-js's service definition from the generated descriptor. Codecs are static (no .proto is read at run time).
 * A response that already is a Buffer passes through, so that one encoded message can go to many streams.
 */
export function serviceDefinition(service: DescService): ServiceDefinition {
  return Object.fromEntries(service.methods.map((m) => [m.localName, methodDefinition(m)]));
}

// biome-ignore lint/suspicious/noExplicitAny: grpc-js's own untyped method table.
export function methodDefinition(method: DescMethod): MethodDefinition<any, any> {
  return {
    path: canonicalPath(method),
    requestStream: method.methodKind === 'client_streaming' || method.methodKind === 'bidi_streaming',
    responseStream: method.methodKind === 'server_streaming' || method.methodKind === 'bidi_streaming',
    requestSerialize: encoder(method.input),
    requestDeserialize: decoder(method.input),
    responseSerialize: encoder(method.output),
    responseDeserialize: decoder(method.output),
    originalName: method.localName,
  };
}

/** `/gwctl.v1.ForwardService/CreateForward`: the name that authorisation is keyed by. */
export function canonicalPath(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`;
}

function encoder<D extends DescMessage>(desc: D): (message: MessageShape<D> | Buffer) => Buffer {
  return (message) => {
    if (Buffer.isBuffer(message)) return message;
    const bytes = toBinary(desc, message);
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  };
}

function decoder<D extends DescMessage>(desc: D): (bytes: Buffer) => MessageShape<D> {
  return (bytes) => fromBinary(desc, bytes);
}
