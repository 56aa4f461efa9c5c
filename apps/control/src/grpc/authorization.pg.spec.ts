import { connect as connectHttp2 } from 'node:http2';
import { createConnection } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { gzipSync } from 'node:zlib';
import { create, type DescMethod, toBinary } from '@bufbuild/protobuf';
import { type Client, Metadata, type ServiceError, status as Status } from '@grpc/grpc-js';
import { EnrolService, IdentityService, SessionService } from '@gwctl/proto/gwctl/agent/v1/agent_pb';
import { CreateForwardRequestSchema, ForwardService } from '@gwctl/proto/gwctl/v1/forward_pb';
import { SystemService } from '@gwctl/proto/gwctl/v1/system_pb';
import type { AppError } from '@gwctl/shared/errors/app-error';
import { unary } from '@gwctl/shared/grpc/client';
import { canonicalPath, methodDefinition } from '@gwctl/shared/grpc/definition';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { issueAgentCertificate, issueServerCertificate, loadAuthority, makeAuthority } from '../ca/certificates.js';
import { startControl, type TestControl } from '../testing/control.js';
import { everyMethod } from '../testing/every-method.js';
import { type FakeAgent, makeKeyAndRequest } from '../testing/fake-agent.js';
import { accessOf } from './policy.js';

/** Calls any method with an empty request; answers with the status that it ends with. */
function statusOf(client: Client, method: DescMethod, headers: Record<string, string> = {}): Promise<number> {
  const definition = methodDefinition(method);
  const metadata = new Metadata();
  for (const [key, value] of Object.entries(headers)) metadata.set(key, value);
  return new Promise((resolve) => {
    const call = client.makeBidiStreamRequest(
      definition.path,
      definition.requestSerialize,
      definition.responseDeserialize,
      metadata,
      { deadline: Date.now() + 20_000 },
    );
    call.on('data', () => undefined);
    call.on('error', (error) => resolve((error as ServiceError).code));
    call.on('status', ({ code }) => resolve(code));
    call.write(create(method.input));
    call.end();
  });
}

describe('the gate', () => {
  let control: TestControl;
  let methods: readonly DescMethod[];
  let agent: FakeAgent;
  beforeAll(async () => {
    control = await startControl();
    methods = await everyMethod();
    agent = await control.agent('gw1');
  });
  afterAll(() => control.close());

  it('has decided about every method of every proto', () => {
    expect(methods.length).toBeGreaterThan(20);
    expect(methods.filter((m) => accessOf(canonicalPath(m)) === undefined).map(canonicalPath)).toEqual([]);
    const open = methods.filter((m) => accessOf(canonicalPath(m)) === 'public').map(canonicalPath);
    expect(open.sort()).toEqual([
      '/grpc.health.v1.Health/Check',
      '/grpc.health.v1.Health/List',
      '/grpc.health.v1.Health/Watch',
      '/gwctl.agent.v1.EnrolService/Enrol',
    ]);
  });

  it('denies every other method without credentials, and enrolment without a token', async () => {
    const client = control.client();
    for (const method of methods) {
      if (accessOf(canonicalPath(method)) === 'public') continue;
      expect([canonicalPath(method), await statusOf(client, method)]).toEqual([canonicalPath(method), Status.UNAUTHENTICATED]);
    }
    const { csr } = await makeKeyAndRequest();
    const refused = unary(client, EnrolService.method.enrol, { token: 'gwctl_jt_guess', csr });
    await expect(refused).rejects.toMatchObject({ code: 'PERMISSION_DENIED', reason: 'BAD_JOIN_TOKEN' });
  });

  it("denies operators' methods to agents and agents' methods to operators, also with both credentials at once", async () => {
    const token = { authorization: `Bearer ${control.token}` };
    for (const method of methods) {
      const path = canonicalPath(method);
      const access = accessOf(path);
      if (access === 'operator') {
        expect([path, await statusOf(agent.client, method)]).toEqual([path, Status.PERMISSION_DENIED]);
        expect([path, await statusOf(agent.client, method, token)]).toEqual([path, Status.PERMISSION_DENIED]);
      }
      if (access === 'agent')
        expect([path, await statusOf(control.client(), method, token)]).toEqual([path, Status.PERMISSION_DENIED]);
    }
  });

  it.each([
    ['nothing', ''],
    ['another scheme', 'Basic YWRtaW46YWRtaW4='],
    ['no token', 'Bearer '],
    ['a guess', `Bearer gwctl_at_${'A'.repeat(43)}`],
    ['a known word', 'Bearer admin'],
    ['a join token', `Bearer gwctl_jt_${'A'.repeat(43)}`],
  ])('refuses %s as a token', async (_, authorization) => {
    const call = unary(control.client(), SystemService.method.whoAmI, {}, { metadata: { authorization } });
    await expect(call).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
  });

  it('refuses paths that are not letter for letter a known method', async () => {
    const paths = ['gwctl.v1.SystemService/WhoAmI', '//gwctl.v1.SystemService/WhoAmI', '/gwctl.v1.SystemService/WhoAmI/', '/x/Y'];
    const session = connectHttp2(`https://${control.address}`, { ca: control.ca });
    for (const path of paths) {
      // Node's HTTP/2 itself refuses a path that does not begin with a slash.
      const headers = await new Promise<Record<string, unknown>>((resolve) => {
        const stream = session.request({
          ':method': 'POST',
          ':path': path,
          'content-type': 'application/grpc',
          te: 'trailers',
          authorization: `Bearer ${control.token}`,
        });
        stream.once('response', (h) => resolve(h as Record<string, unknown>));
        stream.once('error', () => resolve({ 'grpc-status': String(Status.UNIMPLEMENTED) }));
        stream.end();
      });
      expect([path, headers['grpc-status']]).toEqual([path, String(Status.UNIMPLEMENTED)]);
    }
    session.close();
  });

  it('ends an unauthenticated stream 100 times over, and goes on', async () => {
    const client = control.client();
    const codes = await Promise.all(Array.from({ length: 100 }, () => statusOf(client, SessionService.method.session)));
    expect(new Set(codes)).toEqual(new Set([Status.UNAUTHENTICATED]));
    expect(await control.call(SystemService.method.whoAmI, {})).toMatchObject({ name: 'admin', role: 'admin' });
    expect(control.logged()).not.toContain('a failure that nobody handled');
    const { rows } = await control.database.sql.query("SELECT count(*)::int AS n FROM audit_entries WHERE result LIKE 'DENIED%'");
    expect(rows[0].n).toBeGreaterThan(0);
    expect(rows[0].n).toBeLessThan(200);
  });

  it('bounds messages, compressed ones too', async () => {
    const big = { forward: { name: 'a', labels: { x: 'y'.repeat(2 << 20) } } };
    const call = control.call(ForwardService.method.createForward, big);
    await expect(call).rejects.toMatchObject({ code: 'RESOURCE_EXHAUSTED' });
    // 64 MiB of zeros in 64 KiB.
    const bomb = gzipSync(
      toBinary(CreateForwardRequestSchema, create(CreateForwardRequestSchema, { requestId: '\0'.repeat(64 << 20) })),
    );
    const frame = Buffer.concat([Buffer.from([1, 0, 0, 0, 0]), bomb]);
    frame.writeUInt32BE(bomb.length, 1);
    const session = connectHttp2(`https://${control.address}`, { ca: control.ca });
    const status = await new Promise((resolve, reject) => {
      const stream = session.request({
        ':method': 'POST',
        ':path': canonicalPath(ForwardService.method.createForward),
        'content-type': 'application/grpc',
        'grpc-encoding': 'gzip',
        te: 'trailers',
        authorization: `Bearer ${control.token}`,
      });
      stream.once('response', (h) => h['grpc-status'] !== undefined && resolve(h['grpc-status']));
      stream.once('trailers', (h) => resolve(h['grpc-status']));
      stream.once('error', reject);
      stream.end(frame);
    });
    session.close();
    expect(status).toBe(String(Status.RESOURCE_EXHAUSTED));
  });
});

describe('whose certificate it is', () => {
  let control: TestControl;
  let agent: FakeAgent;
  beforeAll(async () => {
    control = await startControl();
    agent = await control.agent('gw1');
  });
  afterAll(() => control.close());

  const renewWith = async (key: string, certificate: string): Promise<AppError> => {
    const { csr } = await makeKeyAndRequest();
    return unary(control.client(key, certificate), IdentityService.method.renew, { csr }, { timeoutMs: 3_000 }).then(
      () => {
        throw new Error('was let in');
      },
      (error: AppError) => error,
    );
  };
  const authority = async () => {
    const { readFile } = await import('node:fs/promises');
    const keyPem = await readFile(`${control.dataDir}/ca.key`, 'utf8');
    const loaded = await loadAuthority({ keyPem, certificatePem: control.ca.toString() });
    if (!loaded.ok) throw new Error(loaded.error);
    return loaded.value;
  };
  const installation = async () => (await control.database.sql.query('SELECT uid FROM installation')).rows[0].uid as string;
  const keyOf = async () => {
    const made = await makeKeyAndRequest();
    const { checkRequest } = await import('../ca/certificates.js');
    const checked = await checkRequest(made.csr);
    if (!checked.ok) throw new Error(checked.error);
    return { keyPem: made.keyPem, publicKey: checked.value.publicKey };
  };

  it('cuts the connection for a certificate of another CA', async () => {
    const foreign = await loadAuthority(await makeAuthority('x', Date.now()));
    if (!foreign.ok) throw new Error(foreign.error);
    const { keyPem, publicKey } = await keyOf();
    const subject = { installation: await installation(), gatewayUid: agent.gatewayUid, publicKey, now: Date.now() };
    const { pem } = await issueAgentCertificate(foreign.value, subject);
    expect(await renewWith(keyPem, pem)).toMatchObject({ code: expect.stringMatching(/UNAVAILABLE|DEADLINE_EXCEEDED/) });
  });

  it('cuts the connection for an expired certificate', async () => {
    const { keyPem, publicKey } = await keyOf();
    const past = Date.now() - 3 * 86_400_000;
    const subject = { installation: await installation(), gatewayUid: agent.gatewayUid, publicKey, now: past };
    const { pem } = await issueAgentCertificate(await authority(), subject);
    expect(await renewWith(keyPem, pem)).toMatchObject({ code: expect.stringMatching(/UNAVAILABLE|DEADLINE_EXCEEDED/) });
  });

  it.each([
    [
      'of another installation',
      async () => ({ installation: '00000000-0000-4000-8000-000000000000', gatewayUid: agent.gatewayUid }),
    ],
    [
      'of an unknown gateway',
      async () => ({ installation: await installation(), gatewayUid: '00000000-0000-4000-8000-000000000000' }),
    ],
    [
      'that was never issued, for a known gateway',
      async () => ({ installation: await installation(), gatewayUid: agent.gatewayUid }),
    ],
  ])('refuses one of our CA %s', async (_, subject) => {
    const { keyPem, publicKey } = await keyOf();
    const { pem } = await issueAgentCertificate(await authority(), { ...(await subject()), publicKey, now: Date.now() });
    expect(await renewWith(keyPem, pem)).toMatchObject({ code: 'PERMISSION_DENIED', reason: 'BAD_IDENTITY' });
  });

  it("refuses the server's own certificate as an agent's", async () => {
    const { keyPem, certificatePem } = await issueServerCertificate(await authority(), { hosts: ['localhost'], now: Date.now() });
    const error = await renewWith(keyPem, certificatePem);
    expect(['PERMISSION_DENIED', 'UNAVAILABLE', 'DEADLINE_EXCEEDED']).toContain(error.code);
  });

  it('keeps the old certificate until the renewed one is first used, also when the answer was lost (F32)', async () => {
    const fresh = await control.agent('gw-renew');
    const other = await makeKeyAndRequest();
    const client = control.client(fresh.made.keyPem, fresh.certificate);
    await unary(client, IdentityService.method.renew, { csr: other.csr });
    // The first answer counts as lost: the old certificate asks again.
    const { certificateChain } = await unary(client, IdentityService.method.renew, { csr: other.csr });
    await unary(control.client(other.keyPem, certificateChain), IdentityService.method.renew, { csr: other.csr });
    expect(await renewWith(fresh.made.keyPem, fresh.certificate)).toMatchObject({ reason: 'BAD_IDENTITY' });
  });
});

describe('the port', () => {
  let control: TestControl;
  beforeAll(async () => {
    control = await startControl();
  });
  afterAll(() => control.close());

  const port = () => Number(control.address.split(':')[1]);
  const tls = (options: object): Promise<TLSSocket | Error> =>
    new Promise((resolve) => {
      const socket = connectTls({ host: '127.0.0.1', port: port(), ca: control.ca, servername: 'localhost', ...options });
      socket.once('secureConnect', () => resolve(socket));
      socket.once('error', resolve);
    });
  const closed = (socket: { once(event: 'close', listener: () => void): unknown }) =>
    new Promise<void>((resolve) => socket.once('close', () => resolve()));

  it('closes plaintext HTTP/2', async () => {
    const socket = createConnection({ host: '127.0.0.1', port: port() });
    socket.on('error', () => undefined);
    socket.on('data', () => undefined);
    socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0');
    await closed(socket);
  });

  it('speaks TLS 1.3 and nothing older', async () => {
    expect(await tls({ minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2', ALPNProtocols: ['h2'] })).toBeInstanceOf(Error);
    const socket = (await tls({ ALPNProtocols: ['h2'] })) as TLSSocket;
    expect(socket.getProtocol()).toBe('TLSv1.3');
    socket.destroy();
  });

  it('sends its CA along, so that its fingerprint can be checked, and closes what does not speak HTTP/2', async () => {
    const socket = (await tls({ ALPNProtocols: ['h2'] })) as TLSSocket;
    const chain = socket.getPeerCertificate(true);
    expect(chain.subjectaltname).toContain('IP Address:127.0.0.1');
    expect(chain.subjectaltname).toContain('DNS:localhost');
    expect(chain.issuerCertificate.raw.toString('base64')).toBe(control.ca.toString().replace(/-----[^-]+-----|\s/g, ''));
    socket.destroy();
    const silent = await tls({});
    if (!(silent instanceof Error)) {
      silent.resume();
      await closed(silent);
    }
  });

  it('takes at most 100 unauthenticated connections from one address, and frees them', async () => {
    const sockets = Array.from({ length: 110 }, () => createConnection({ host: '127.0.0.1', port: port() }));
    const refused = new Set<unknown>();
    for (const socket of sockets) {
      socket.on('error', () => undefined);
      socket.on('close', () => refused.add(socket));
    }
    await expect.poll(() => refused.size).toBe(10);
    for (const socket of sockets) socket.destroy();
    await expect.poll(async () => (await control.call(SystemService.method.whoAmI, {})).name).toBe('admin');
  });

  it('stores and logs no secret', async () => {
    const { rows } = await control.database.sql.query<{ table_name: string }>(
      "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE'",
    );
    const agent = await control.agent('gw-secrets');
    const join = await control.joinToken('gw-secrets');
    const secrets = [control.token, join, control.token.slice(9), join.slice(9), agent.made.keyPem.slice(60, 100)];
    let everything = control.logged();
    for (const { table_name } of rows)
      everything += JSON.stringify((await control.database.sql.query(`SELECT * FROM ${table_name}`)).rows);
    expect(everything).toContain('gw-secrets');
    for (const secret of secrets) {
      expect(everything).not.toContain(secret);
      expect(everything).not.toContain(Buffer.from(secret).toString('hex'));
    }
  });

  it('says in HTTP whether it lives and can serve', async () => {
    for (const path of ['healthz', 'readyz']) {
      const response = await fetch(`http://${control.http}/${path}`);
      expect([response.status, await response.json()]).toEqual([200, { status: 'ok' }]);
    }
    expect((await fetch(`http://${control.http}/other`)).status).toBe(404);
  });
});
