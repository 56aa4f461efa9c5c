/**
 * A client of the control plane's API for tests, in a process of its own because it must run inside a host of the lab.
 * Reads JSON lines {id, method, request, token}, writes {id, response} or {id, error}. Types only from files beside it, so that
 * Node.js can run it as it is.
 */
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { type DescMethodUnary, type DescService, fromJson, type JsonValue, toJson } from '@bufbuild/protobuf';
import { Client, credentials } from '@grpc/grpc-js';
import { EnrolService, IdentityService } from '@gwctl/proto/gwctl/agent/v1/agent_pb';
import { EventService } from '@gwctl/proto/gwctl/v1/event_pb';
import { ForwardService } from '@gwctl/proto/gwctl/v1/forward_pb';
import { GatewayService } from '@gwctl/proto/gwctl/v1/gateway_pb';
import { SystemService } from '@gwctl/proto/gwctl/v1/system_pb';
import { AppError } from '@gwctl/shared/errors/app-error';
import { unary } from '@gwctl/shared/grpc/client';

interface Request {
  readonly id: number;
  /** `ForwardService.CreateForward` */
  readonly method: string;
  /** In protobuf's JSON form. */
  readonly request: JsonValue;
  /** Default: the one given at start. */
  readonly token?: string;
}

const [server = '', caFile = '', tokenFile = ''] = process.argv.slice(2);
const defaultToken = readFileSync(tokenFile, 'utf8').trim();
const services = new Map<string, DescService>(
  [ForwardService, GatewayService, EventService, SystemService, EnrolService, IdentityService].map((s) => [s.name, s]),
);
const client = new Client(server, credentials.createSsl(readFileSync(caFile)));

async function call({ method, request, token = defaultToken }: Request): Promise<JsonValue> {
  const [service = '', name = ''] = method.split('.');
  const found = services.get(service)?.methods.find((m) => m.name === name);
  if (found?.methodKind !== 'unary') throw new Error(`no unary method ${method}`);
  const desc = found as DescMethodUnary;
  const options = { metadata: token === '' ? {} : { authorization: `Bearer ${token}` } };
  return toJson(desc.output, await unary(client, desc, fromJson(desc.input, request), options));
}

createInterface({ input: process.stdin }).on('line', async (line) => {
  const request = JSON.parse(line) as Request;
  const write = (answer: object) => process.stdout.write(`${JSON.stringify({ id: request.id, ...answer })}\n`);
  try {
    write({ response: await call(request) });
  } catch (error) {
    const { code, reason, message, violations } = AppError.from(error);
    write({ error: { code, reason, message: code === 'INTERNAL' ? String(error) : message, violations } });
  }
});
process.stdin.on('end', () => client.close());
process.stdout.write(`${JSON.stringify({ id: 0, response: 'ready' })}\n`);
