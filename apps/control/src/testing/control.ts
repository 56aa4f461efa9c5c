import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DescMessage, DescMethodServerStreaming, DescMethodUnary, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import { Client, credentials } from '@grpc/grpc-js';
import { GatewayService } from '@gwctl/proto/gwctl/v1/gateway_pb';
import { serverStream, unary } from '@gwctl/shared/grpc/client';
import { createLogger } from '@gwctl/shared/logging/logger';
import { parseJoinString } from '@gwctl/shared/wire/join-string';
import { serve } from '../serve.js';
import { FakeAgent, makeKeyAndRequest } from './fake-agent.js';
import { type FreshDatabase, freshDatabase } from './fresh-database.js';

/** A whole control plane in this process, on a database of its own, with clients for both sides. */
export interface TestControl {
  readonly address: string;
  /** HOST:PORT of /healthz. */
  readonly http: string;
  readonly dataDir: string;
  readonly ca: Buffer;
  readonly token: string;
  readonly database: FreshDatabase;
  /** What was logged so far, JSON lines of every level. */
  logged(): string;
  /** Calls as the first administrator. */
  call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
  ): Promise<MessageShape<O>>;
  watch<I extends DescMessage, O extends DescMessage>(
    method: DescMethodServerStreaming<I, O>,
    request: MessageInitShape<I>,
  ): AsyncGenerator<MessageShape<O>>;
  /** A client with these credentials and no token. */
  client(key?: string, certificate?: string): Client;
  /** Makes a gateway and enrols an agent for it. */
  agent(name: string): Promise<FakeAgent>;
  joinToken(gateway: string, options?: { readonly sourceCidr?: string; readonly ttlSeconds?: number }): Promise<string>;
  close(): Promise<void>;
}

/** @param first Where given, another replica of that control plane: the same database, the same CA. */
export async function startControl(first?: TestControl): Promise<TestControl> {
  const database = first?.database ?? (await freshDatabase());
  const dataDir = first?.dataDir ?? (await mkdtemp(join(tmpdir(), 'gwctl-control-')));
  const lines: string[] = [];
  const logger = createLogger({
    name: 'control',
    level: 'trace',
    destination: { write: (line: string) => void lines.push(line) },
  });
  const running = await serve(
    {
      dataDir,
      database: { kind: 'url', url: database.url },
      listen: { host: '127.0.0.1', port: 0 },
      advertise: [],
      http: { host: '127.0.0.1', port: 0 },
      logLevel: 'trace',
    },
    logger,
  );
  const [address = ''] = running.advertised;
  const ca = await readFile(join(dataDir, 'ca.crt'));
  const token = (await readFile(join(dataDir, 'admin.token'), 'utf8')).trim();
  const clients: Client[] = [];
  const client = (key?: string, certificate?: string): Client => {
    const made = new Client(
      address,
      credentials.createSsl(ca, key ? Buffer.from(key) : null, certificate ? Buffer.from(certificate) : null),
      { 'grpc.use_local_subchannel_pool': 1 },
    );
    clients.push(made);
    return made;
  };
  const operator = client();
  const metadata = { authorization: `Bearer ${token}` };
  const control: TestControl = {
    address,
    http: running.http,
    dataDir,
    ca,
    token,
    database,
    logged: () => lines.join(''),
    client,
    call: (method, request) => unary(operator, method, request, { metadata }),
    watch: (method, request) => serverStream(operator, method, request, { metadata }),
    joinToken: async (gateway, options = {}) => {
      const { joinString } = await control.call(GatewayService.method.createJoinToken, { gateway, ...options });
      const parsed = parseJoinString(joinString);
      if (!parsed.ok) throw new Error(parsed.error);
      return parsed.value.token;
    },
    agent: async (name) => {
      await control.call(GatewayService.method.createGateway, { gateway: { name } });
      const made = await makeKeyAndRequest();
      return FakeAgent.enrol({ token: await control.joinToken(name), made, client });
    },
    close: async () => {
      await running.close();
      for (const c of clients) c.close();
      if (first) return;
      await database.drop();
      await rm(dataDir, { recursive: true });
    },
  };
  return control;
}
