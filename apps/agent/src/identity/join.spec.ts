import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { connect as connectTcp, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join as path } from 'node:path';
import { createServer as createTlsServer } from 'node:tls';
import { createLogger } from '@gwctl/shared/logging/logger';
import type { JoinString } from '@gwctl/shared/wire/join-string';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Conditions } from '../status/conditions.js';
import { makeCa } from '../testing/certificates.js';
import { FakeClock, settle } from '../testing/fake-clock.js';
import { FakeControlPlane, GATEWAY_UID } from '../testing/fake-control-plane.js';
import { IdentityStore } from './identity-store.js';
import { join } from './join.js';
import { askControlPlane, Renewal, renewalDue } from './renewal.js';

let dir: string;
let plane: FakeControlPlane;
beforeEach(async () => {
  dir = await mkdtemp(path(tmpdir(), 'gwctl-identity-'));
  plane = await FakeControlPlane.start();
});
afterEach(async () => {
  plane.stop();
  await rm(dir, { recursive: true, force: true });
});

const joinString = (more: Partial<JoinString> = {}): JoinString => ({
  servers: [plane.address],
  caFingerprint: plane.ca.fingerprint,
  gateway: 'gw1',
  token: 'right-token',
  ...more,
});

const store = () => new IdentityStore({ stateDir: dir });
const attempt = (more: Partial<JoinString> = {}, force = false) =>
  join({ join: joinString(more), store: store(), hostname: 'host', agentVersion: '0', force });

/** Everything that a client sends to a server that presents `credentials`, in the clear. */
async function eavesdrop(credentials: { key: string; chain: string }) {
  const heard: Buffer[] = [];
  const server = createTlsServer({ key: credentials.key, cert: credentials.chain, ALPNProtocols: ['h2'] }, (socket) => {
    socket.on('data', (chunk) => heard.push(chunk));
    socket.on('error', () => undefined);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  return { address: `127.0.0.1:${port}`, heard, close: () => server.close() };
}

describe('join', () => {
  it('makes a key here, and keeps it with the certificate for nobody else to read', async () => {
    const identity = await attempt();
    expect(identity).toMatchObject({ gateway: 'gw1', gatewayUid: GATEWAY_UID, servers: [plane.address] });
    expect(plane.enrolments).toHaveLength(1);
    expect(await store().load()).toEqual(identity);
    for (const file of await readdir(path(dir, 'identity')))
      expect((await stat(path(dir, 'identity', file))).mode & 0o777, file).toBe(0o600);
    expect((await stat(path(dir, 'identities'))).mode & 0o777).toBe(0o700);
    const request = Buffer.from(plane.enrolments[0]?.csr ?? []).toString('base64');
    const key = (await readFile(path(dir, 'identity', 'key.pem'), 'utf8')).replaceAll(/-----.*-----|\s/g, '');
    expect(request).not.toContain(key.slice(48, 90));
  });

  it('refuses to replace an identity unless told to', async () => {
    const first = await attempt();
    await expect(attempt()).rejects.toMatchObject({ code: 'ALREADY_EXISTS', message: expect.stringContaining('--force') });
    expect(plane.enrolments).toHaveLength(1);
    const second = await attempt({}, true);
    expect(await store().loadPrevious()).toBeUndefined();
    expect(second.privateKey).not.toBe(first.privateKey);
    expect(await store().load()).toEqual(second);
  });

  it('passes on why the control plane refuses the token, and leaves nothing behind', async () => {
    await expect(attempt({ token: 'spent' })).rejects.toMatchObject({ code: 'PERMISSION_DENIED', reason: 'TOKEN_REFUSED' });
    expect(await store().exists()).toBe(false);
    expect(await readdir(path(dir, 'identities'))).toEqual([]);
  });

  it('tries the servers in turn', async () => {
    const identity = await attempt({ servers: ['127.0.0.1:1', plane.address] });
    expect(identity.servers).toEqual(['127.0.0.1:1', plane.address]);
  });
});

describe('the token stays here when', () => {
  it('another CA answers', async () => {
    const other = await makeCa('somebody else');
    const ear = await eavesdrop(await other.server(['127.0.0.1']));
    const failure = await attempt({ servers: [ear.address] }).catch((error: unknown) => error);
    ear.close();
    expect(failure).toMatchObject({ reason: 'CA_MISMATCH' });
    expect(String(failure)).toContain(plane.ca.fingerprint);
    expect(String(failure)).toContain(other.fingerprint);
    expect(ear.heard).toEqual([]);
  });

  it('somebody shows the right CA beside a certificate of their own', async () => {
    const other = await makeCa('somebody else');
    const forged = await other.server(['127.0.0.1']);
    const leaf = forged.chain.slice(0, forged.chain.indexOf('-----END CERTIFICATE-----') + 26);
    const ear = await eavesdrop({ key: forged.key, chain: `${leaf}${plane.ca.pem}\n` });
    await expect(attempt({ servers: [ear.address] })).rejects.toMatchObject({ reason: 'CA_MISMATCH' });
    ear.close();
    expect(ear.heard).toEqual([]);
  });

  it('the certificate is for another name', async () => {
    const ear = await eavesdrop(await plane.ca.server(['other.example']));
    await expect(attempt({ servers: [ear.address] })).rejects.toMatchObject({
      reason: 'SERVER_NAME_MISMATCH',
      message: expect.stringContaining('--advertise'),
    });
    ear.close();
    expect(ear.heard).toEqual([]);
  });

  it('the certificate changes between looking and sending', async () => {
    const other = await makeCa('somebody else');
    const ear = await eavesdrop(await other.server(['127.0.0.1']));
    let connections = 0;
    // The first two connections reach the control plane, all others whoever took its place.
    const between = createServer((client: Socket) => {
      const target = ++connections <= 2 ? plane.address : ear.address;
      const upstream = connectTcp(Number(target.split(':')[1]), '127.0.0.1');
      client.pipe(upstream).pipe(client);
      for (const s of [client, upstream]) s.on('error', () => undefined);
    });
    await new Promise<void>((resolve) => between.listen(0, '127.0.0.1', resolve));
    const { port } = between.address() as { port: number };
    await expect(attempt({ servers: [`127.0.0.1:${port}`] })).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    between.close();
    ear.close();
    expect(connections).toBeGreaterThan(2);
    expect(Buffer.concat(ear.heard).toString('latin1')).not.toContain('right-token');
  });

  it.each([
    { what: 'nobody listens', server: '127.0.0.1:1', says: 'refused' },
    { what: 'the name does not exist', server: 'no-such-host.invalid:7443', says: 'DNS' },
  ])('$what, and the error names the address', async ({ server, says }) => {
    await expect(attempt({ servers: [server] })).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      reason: 'CONTROL_PLANE_UNREACHABLE',
      message: expect.stringContaining(server),
    });
    await expect(attempt({ servers: [server] })).rejects.toMatchObject({ message: expect.stringContaining(says) });
  });

  it('what answers does not speak TLS', async () => {
    const plain = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.end('HTTP/1.1 400 Bad Request\r\n\r\n');
    });
    await new Promise<void>((resolve) => plain.listen(0, '127.0.0.1', resolve));
    const { port } = plain.address() as { port: number };
    await expect(attempt({ servers: [`127.0.0.1:${port}`] })).rejects.toMatchObject({ reason: 'CONTROL_PLANE_UNREACHABLE' });
    plain.close();
  });
});

describe('renewal', () => {
  const HOUR = 3_600_000;

  async function prepared() {
    const identity = await attempt();
    const clock = new FakeClock(identity.validity.notBefore);
    const conditions = new Conditions({ clock });
    const renewed: unknown[] = [];
    let asking = 0;
    const renewal = new Renewal({
      store: store(),
      ask: async (current) => {
        asking++;
        return await askControlPlane(current).finally(() => asking--);
      },
      runtime: { clock, random: () => 0.5, log: createLogger({ name: 'spec', level: 'silent' }) },
      conditions,
      onRenewed: (next) => renewed.push(next),
    });
    const reason = () => conditions.list()[0]?.reason;
    /** Lets time pass until something is so, but not while the control plane is asked: its answer takes real time. */
    const until = async (done: () => boolean) => {
      while (!done()) {
        if (asking === 0) await clock.advance(HOUR / 60);
        await settle();
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    };
    return { identity, clock, renewal, renewed, reason, until };
  }

  it('is due at half the lifetime, and up to a tenth later', () => {
    expect(renewalDue({ notBefore: 0, notAfter: 24 * HOUR }, 0)).toBe(12 * HOUR);
    expect(renewalDue({ notBefore: 0, notAfter: 24 * HOUR }, 1)).toBeCloseTo(14.4 * HOUR);
  });

  it('gets a new certificate for the same key, and keeps the old one until the new one worked', async () => {
    const { identity, renewal, renewed, until } = await prepared();
    renewal.start(identity);
    await until(() => renewed.length > 0);
    renewal.stop();
    const now = await store().load();
    expect(now.privateKey).toBe(identity.privateKey);
    expect(now.certificateChain).not.toBe(identity.certificateChain);
    expect(await store().loadPrevious()).toEqual(identity);
    await store().dropPrevious();
    expect(await store().loadPrevious()).toBeUndefined();
    expect(await store().load()).toEqual(now);
    expect(await readdir(path(dir, 'identities'))).toHaveLength(1);
  });

  it('that fails is told, tried again, and tells when the certificate is over', async () => {
    const { identity, clock, renewal, reason, until, renewed } = await prepared();
    plane.stop();
    renewal.start(identity);
    await until(() => reason() === 'RENEWAL_FAILED');
    clock.setWall(identity.validity.notAfter + 1);
    await until(() => reason() === 'CERTIFICATE_EXPIRED');
    clock.setWall(identity.validity.notBefore - HOUR);
    await until(() => reason() === 'CERTIFICATE_NOT_YET_VALID');
    // The control plane's clock is the real one, so what it issues ends when this one does; nine hours are left.
    clock.setWall(identity.validity.notBefore + 15 * HOUR);
    const port = plane.port;
    const ca = plane.ca;
    plane = await FakeControlPlane.start({ port, ca });
    await until(() => renewed.length > 0);
    renewal.stop();
    expect(reason()).toBe('OK');
  });

  it('does not take a certificate for another key', async () => {
    const { identity } = await prepared();
    const draft = await store().draft(identity.privateKey);
    const stranger = await attempt({}, true);
    await expect(
      store().commit(draft, { ...identity, certificateChain: stranger.certificateChain }, 'renews'),
    ).rejects.toMatchObject({
      reason: 'CERTIFICATE_INVALID',
    });
    expect((await store().load()).privateKey).toBe(stranger.privateKey);
  });
});
