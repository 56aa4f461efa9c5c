import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Lab, type LabSpec } from '../index.js';
import { Bind, dig } from './bind.js';
import { Mariadb, MariadbReconnecting, MariadbSession, queryMariadb } from './mariadb.js';
import { Nginx } from './nginx.js';
import { Vsftpd } from './vsftpd.js';

const spec = {
  name: 'services',
  hosts: {
    client: { links: { eth0: { segment: 'lan', addresses: ['10.1.0.1/24', 'fd01::1/64'] } } },
    server: { links: { eth0: { segment: 'lan', addresses: ['10.1.0.2/24', 'fd01::2/64'] } } },
  },
} as const satisfies LabSpec;
const v4 = '10.1.0.2';
const v6 = 'fd01::2';

let lab: Lab<keyof typeof spec.hosts>;

beforeAll(async () => {
  lab = await Lab.create(spec);
});
afterAll(() => lab?.destroy());

describe('MariaDB', () => {
  it('says who it is, to new clients and to one that stays, until it stops', async () => {
    const client = lab.host('client');
    const server = await Mariadb.start(lab, 'server', { address: v4 });
    expect((await queryMariadb(client, { to: v4 })).stdout).toBe('server\n');
    const session = await MariadbSession.open(client, { to: v4 });
    const reconnecting = await MariadbReconnecting.start(client, { to: v4 });
    await reconnecting.answeredBy('server', { count: 3 });
    expect(await session.ask()).toBe('server');
    await server.stop();
    await expect(session.ask()).rejects.toThrow(/ERROR 20\d\d.*server/i);
    await reconnecting.answeredBy('FAILED');
    expect(await queryMariadb(client, { to: v4, allowFailure: true })).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("Can't connect"),
    });
    await server.boot();
    await reconnecting.answeredBy('server');
    await reconnecting.stop();
    expect(new Set(reconnecting.answers)).toEqual(new Set(['server', 'FAILED']));
    await session.close();
    await server.stop();
  });
});

describe('vsftpd', () => {
  const modes = [
    ['active', false],
    ['active', true],
    ['passive', false],
    ['passive', true],
  ] as const;

  it('takes and gives files, whoever opens the data connection', async () => {
    const client = lab.host('client');
    const ftp = await Vsftpd.start(lab, 'server');
    for (const [mode, extended] of modes) {
      const down = await ftp.download(client, { to: v4, mode, extended });
      expect(down.received).toBe(down.sent);
      const up = await ftp.upload(client, { to: v4, mode, extended });
      expect(up.received).toBe(up.sent);
    }
    for (const mode of ['active', 'passive'] as const) {
      const down = await ftp.download(client, { to: v6, mode, extended: true, bytes: 1000 });
      expect(down.received).toBe(down.sent);
    }
  });
});

describe('BIND', () => {
  it('answers over UDP and TCP, changes while it runs, and fails in each way', async () => {
    const client = lab.host('client');
    const records = { db: ['10.0.11.147'], app: ['10.0.1.32', '10.0.1.31', 'fd00::31'] };
    const bind = await Bind.start(lab, 'server', { addresses: [v4, v6], records });
    const ask = (name: string, more: { tcp?: boolean; type?: string; to?: string; timeoutMs?: number } = {}) =>
      dig(client, { to: v4, name: `${name}.internal`, ...more });
    expect(await ask('db')).toEqual({ status: 'NOERROR', data: ['10.0.11.147'] });
    expect(await ask('app', { tcp: true })).toEqual({ status: 'NOERROR', data: ['10.0.1.31', '10.0.1.32'] });
    expect(await ask('app', { type: 'AAAA', to: v6 })).toEqual({ status: 'NOERROR', data: ['fd00::31'] });
    expect(await ask('nothing')).toEqual({ status: 'NXDOMAIN', data: [] });

    await bind.set('db', ['10.0.11.148']);
    expect(await ask('db')).toEqual({ status: 'NOERROR', data: ['10.0.11.148'] });
    await bind.set('db', []);
    expect(await ask('db')).toEqual({ status: 'NXDOMAIN', data: [] });
    await bind.set('db', ['10.0.11.147']);

    await bind.servfail(true);
    expect(await ask('db')).toEqual({ status: 'SERVFAIL', data: [] });
    await bind.servfail(false);
    expect((await ask('db')).data).toEqual(['10.0.11.147']);

    bind.freeze();
    expect(await ask('db', { timeoutMs: 1000 })).toEqual({ status: 'none', data: [] });
    bind.thaw();
    expect((await ask('db')).data).toEqual(['10.0.11.147']);

    await bind.stop();
    expect(await ask('db')).toEqual({ status: 'none', data: [] });
    await bind.boot();
    expect((await ask('db')).data).toEqual(['10.0.11.147']);
  });
});

describe('nginx', () => {
  it('serves http and https, and the client checks its certificate', async () => {
    const client = lab.host('client');
    const names = [v4, v6];
    const nginx = await Nginx.start(lab, 'server', { addresses: [v4, v6], httpsPort: 443, certificateFor: names });
    expect((await nginx.get(client, { to: v4 })).stdout).toBe('server http 10.1.0.1\n');
    expect((await nginx.get(client, { to: v4, https: true })).stdout).toBe('server https 10.1.0.1\n');
    expect((await nginx.get(client, { to: v6, https: true })).stdout).toBe('server https fd01::1\n');
    await nginx.stop();
    const refused = await nginx.get(client, { to: v4, allowFailure: true });
    expect(refused).toMatchObject({ code: 7, stderr: expect.stringContaining('Failed to connect') });
  });
});
