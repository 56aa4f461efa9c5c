/**
 * Calls every method of every proto with the credentials that it is started with, and prints one JSON line for each: how it ended.
 * Runs inside a host of the lab. Types only from files beside it.
 */
import { readFileSync } from 'node:fs';
import { create, type DescService } from '@bufbuild/protobuf';
import { Client, type ClientReadableStream, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { Health } from '@gwctl/proto/grpc/health/v1/health_pb';
import { ServerReflection } from '@gwctl/proto/grpc/reflection/v1/reflection_pb';
import { EnrolService, IdentityService, SessionService } from '@gwctl/proto/gwctl/agent/v1/agent_pb';
import { EventService } from '@gwctl/proto/gwctl/v1/event_pb';
import { ForwardService } from '@gwctl/proto/gwctl/v1/forward_pb';
import { GatewayService } from '@gwctl/proto/gwctl/v1/gateway_pb';
import { SystemService } from '@gwctl/proto/gwctl/v1/system_pb';
import { canonicalPath, methodDefinition } from '@gwctl/shared/grpc/definition';

const SERVICES: readonly DescService[] = [
  ForwardService,
  GatewayService,
  EventService,
  SystemService,
  EnrolService,
  IdentityService,
  SessionService,
  Health,
  ServerReflection,
];

/** {server, ca, cert?, key?, token?, times?, only?}: files for the certificate, `only` a part of the method's path. */
interface Options {
  readonly server: string;
  readonly ca: string;
  readonly cert?: string;
  readonly key?: string;
  readonly token?: string;
  readonly times?: number;
  readonly only?: string;
}

const options = JSON.parse(process.argv[2] ?? '{}') as Options;
const read = (file: string | undefined) => (file === undefined ? null : readFileSync(file));
const client = new Client(options.server, credentials.createSsl(read(options.ca), read(options.key), read(options.cert)));
const metadata = new Metadata();
if (options.token !== undefined) metadata.set('authorization', `Bearer ${options.token}`);

/** The name of the status that a call of the method ends with; OK for one that goes on for half a second without an end. */
function outcome(path: string, method: DescService['methods'][number]): Promise<string> {
  const d = methodDefinition(method);
  const request = create(method.input);
  const deadline = Date.now() + 500;
  return new Promise((resolve) => {
    const ended = (error: ServiceError | null) => resolve(error === null ? 'OK' : (status[error.code] ?? String(error.code)));
    if (method.methodKind === 'unary') {
      client.makeUnaryRequest(path, d.requestSerialize, d.responseDeserialize, request, metadata, { deadline }, ended);
      return;
    }
    const watch = (call: ClientReadableStream<unknown>) => {
      call.on('data', () => resolve('OK'));
      call.on('error', (error: ServiceError) => ended(error));
      call.on('end', () => ended(null));
    };
    if (method.methodKind === 'server_streaming') {
      watch(client.makeServerStreamRequest(path, d.requestSerialize, d.responseDeserialize, request, metadata, { deadline }));
      return;
    }
    const call = client.makeBidiStreamRequest(path, d.requestSerialize, d.responseDeserialize, metadata, { deadline });
    watch(call);
    call.write(request);
  });
}

for (const service of SERVICES)
  for (const method of service.methods) {
    const path = canonicalPath(method);
    if (options.only !== undefined && !path.includes(options.only)) continue;
    for (let i = 0; i < (options.times ?? 1); i++)
      process.stdout.write(`${JSON.stringify([path, await outcome(path, method)])}\n`);
  }
// Not one of ours, and one that differs from ours by its spelling only.
if (options.only === undefined)
  for (const path of ['/gwctl.v1.ForwardService/createForward', '/gwctl.v1.Nothing/Here']) {
    const method = ForwardService.method.createForward;
    process.stdout.write(`${JSON.stringify([path, await outcome(path, method)])}\n`);
  }
client.close();
