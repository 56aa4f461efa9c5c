import { create, type DescFile, toBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import {
  ServerReflection,
  type ServerReflectionRequest,
  type ServerReflectionResponse,
  ServerReflectionResponseSchema,
} from '@gwctl/proto/grpc/reflection/v1/reflection_pb';
import { Inject, Injectable } from '@nestjs/common';
import { GrpcRegistry } from './registry.js';
import type { BidiCall } from './service.js';

type Call = BidiCall<typeof ServerReflection.method.serverReflectionInfo>;
type Answer = ServerReflectionResponse['messageResponse'];

/** google.rpc.Code.NOT_FOUND. */
const NOT_FOUND = 5;

/** grpc.reflection.v1.ServerReflection, from the descriptors that were generated into the program: no .proto is read. */
@Injectable()
export class ReflectionGrpc {
  private found: { readonly byName: ReadonlyMap<string, DescFile>; readonly bySymbol: ReadonlyMap<string, DescFile> } | undefined;

  constructor(@Inject(GrpcRegistry) private readonly registry: GrpcRegistry) {
    registry.add({
      descriptor: ServerReflection,
      implementation: { serverReflectionInfo: (call) => this.serve(call) },
    });
  }

  private serve(call: Call): void {
    call.on('data', (request: ServerReflectionRequest) => {
      const { host: validHost } = request;
      const messageResponse = this.answer(request.messageRequest);
      call.write(create(ServerReflectionResponseSchema, { validHost, originalRequest: request, messageResponse }));
    });
    call.on('end', () => call.end());
  }

  private answer(request: ServerReflectionRequest['messageRequest']): Answer {
    switch (request.case) {
      case 'listServices': {
        const service = this.registry.services.map(({ descriptor }) => ({ name: descriptor.typeName }));
        return create(ServerReflectionResponseSchema, {
          messageResponse: { case: 'listServicesResponse', value: { service } },
        }).messageResponse;
      }
      case 'fileByFilename':
        return answerFile(this.files.byName.get(request.value));
      case 'fileContainingSymbol':
        return answerFile(this.files.bySymbol.get(request.value));
      default:
        return notFound('extensions are not used here');
    }
  }

  private get files() {
    this.found ??= index(this.registry.services.map(({ descriptor }) => descriptor.file));
    return this.found;
  }
}

function index(roots: readonly DescFile[]) {
  const byName = new Map<string, DescFile>();
  const bySymbol = new Map<string, DescFile>();
  for (const file of roots.flatMap(withDependencies)) {
    byName.set(`${file.name}.proto`, file);
    for (const { typeName } of [...file.messages, ...file.enums, ...file.services]) bySymbol.set(typeName, file);
    for (const service of file.services)
      for (const method of service.methods) bySymbol.set(`${service.typeName}.${method.name}`, file);
  }
  return { byName, bySymbol };
}

const withDependencies = (file: DescFile): readonly DescFile[] => [
  ...new Set([file, ...file.dependencies.flatMap(withDependencies)]),
];

function answerFile(file: DescFile | undefined): Answer {
  if (!file) return notFound('there is no such file or symbol');
  const fileDescriptorProto = withDependencies(file).map((f) => toBinary(FileDescriptorProtoSchema, f.proto));
  return create(ServerReflectionResponseSchema, {
    messageResponse: { case: 'fileDescriptorResponse', value: { fileDescriptorProto } },
  }).messageResponse;
}

const notFound = (errorMessage: string): Answer =>
  create(ServerReflectionResponseSchema, {
    messageResponse: { case: 'errorResponse', value: { errorCode: NOT_FOUND, errorMessage } },
  }).messageResponse;
