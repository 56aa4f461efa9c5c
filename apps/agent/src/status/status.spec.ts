import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger } from '@gwctl/shared/logging/logger';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type PeerCredentials, peerCredentials } from '../system/peer-credentials.js';
import { FakeClock } from '../testing/fake-clock.js';
import { Conditions } from './conditions.js';
import { duration, renderStatus } from './render.js';
import type { StatusReport } from './report.js';
import { readStatus } from './status-client.js';
import { descriptorOf, StatusServer } from './status-server.js';

const NOW = Date.UTC(2026, 0, 2);
const hourAgo = new Date(NOW - 3_600_000).toISOString();

const report: StatusReport = {
  agent: { version: '0.1.0', pid: 1, startTime: hourAgo },
  gateway: { name: 'gw1', uid: 'u' },
  controlPlane: {
    connected: false,
    since: hourAgo,
    error: { reason: 'CONTROL_PLANE_UNREACHABLE', message: 'refused' },
    nextAttempt: new Date(NOW + 5_000).toISOString(),
  },
  desired: {
    known: true,
    source: 'disk',
    epoch: 'e',
    acceptedRevision: 7,
    appliedRevision: 6,
    acceptedTime: hourAgo,
    forwards: 1,
  },
  driver: 'iptables-nft',
  capabilities: [{ name: 'conntrack', supported: true, detail: 'yes' }],
  certificate: { notBefore: hourAgo, notAfter: new Date(NOW + 7_200_000).toISOString() },
  conditions: [
    { type: 'Applied', status: 'false', reason: 'APPLY_FAILED', message: 'line 3', since: hourAgo },
    { type: 'IpForwarding', status: 'true', reason: 'ALREADY_ON', message: 'fine', since: hourAgo },
  ],
  forwards: [
    {
      name: 'web',
      uid: 'u1',
      generation: 1,
      state: 'REJECTED',
      listen: '192.0.2.1:80/tcp',
      targets: [],
      clientAddress: '',
      conditions: [
        { type: 'Accepted', status: 'false', reason: 'PORT_IN_USE', message: 'by \u001b[2Jevil\u202e', since: hourAgo },
      ],
      violations: [],
    },
  ],
};

describe('status for people', () => {
  const text = renderStatus(report, NOW);

  it('says where the state comes from, since when, and what is wrong', () => {
    expect(text).toContain('running from disk');
    expect(text).toContain('revision 7 accepted, revision 6 applied');
    expect(text).toContain('accepted 60 min ago');
    expect(text).toContain('not connected for 60 min: refused (CONTROL_PLANE_UNREACHABLE); next attempt in 5 s');
    expect(text).toContain('APPLY_FAILED: line 3');
    expect(text).not.toContain('ALREADY_ON');
    expect(text).toMatch(/web {6}REJECTED {2}192\.0\.2\.1:80\/tcp/);
    expect(text).toContain('PORT_IN_USE');
  });

  it('obeys no control characters', () => {
    expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u202e]/);
    expect(text).toContain('\\u001b[2Jevil\\u202e');
  });

  it.each([
    [0, '0 s'],
    [119_000, '119 s'],
    [120_000, '2 min'],
    [7_260_000, '2 h 1 min'],
    [50 * 3_600_000, '2 d 2 h'],
  ])('writes %d ms as %s', (ms, expected) => expect(duration(ms)).toBe(expected));
});

describe('status socket', () => {
  let dir: string;
  let server: StatusServer | undefined;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'gwctl-status-'));
  });
  afterEach(async () => {
    await server?.stop();
    server = undefined;
    await rm(dir, { recursive: true, force: true });
  });

  async function serve(credentials?: () => PeerCredentials, gid?: number) {
    const socket = join(dir, 'run', 'agent.sock');
    server = new StatusServer({
      socket,
      ownDirectory: true,
      gid,
      report: () => report,
      credentials: credentials ?? ((peer) => peerCredentials(descriptorOf(peer))),
      log: createLogger({ name: 'spec', level: 'silent' }),
    });
    await server.start();
    return socket;
  }

  it('is closed to others, and answers its own user', async () => {
    const socket = await serve();
    expect((await stat(socket)).mode & 0o777).toBe(0o660);
    expect((await stat(join(dir, 'run'))).mode & 0o777).toBe(0o750);
    expect(await readStatus(socket)).toEqual(report);
  });

  it.each([
    { who: 'root', peer: { pid: 1, uid: 0, gids: [0] }, allowed: true },
    { who: 'a member of the group', peer: { pid: 1, uid: 54_321, gids: [54_321, 777] }, allowed: true },
    { who: 'anybody else', peer: { pid: 1, uid: 54_321, gids: [54_321] }, allowed: false },
  ])('answers $who: $allowed', async ({ peer, allowed }) => {
    // The group is that of this process, so that the socket can be given to it.
    const gid = process.getgid?.() ?? 0;
    const socket = await serve(() => ({ ...peer, gids: peer.gids.map((g) => (g === 777 ? gid : g)) }), gid);
    if (allowed) expect(await readStatus(socket)).toEqual(report);
    else await expect(readStatus(socket)).rejects.toMatchObject({ code: 'PERMISSION_DENIED', reason: 'STATUS_DENIED' });
  });

  it('denies a peer that the kernel does not name', async () => {
    const socket = await serve(() => {
      throw new Error('no credentials');
    });
    await expect(readStatus(socket)).rejects.toMatchObject({ code: 'PERMISSION_DENIED' });
  });

  it('takes the place of a socket that a killed agent left', async () => {
    const socket = await serve();
    await server?.stop();
    await writeFile(socket, '');
    await serve();
    expect(await readStatus(socket)).toEqual(report);
  });

  it('that nobody serves says that no agent runs', async () => {
    await expect(readStatus(join(dir, 'none.sock'))).rejects.toMatchObject({ reason: 'AGENT_NOT_RUNNING' });
  });

  it('that something else serves is no status', async () => {
    const socket = join(dir, 'other.sock');
    const other = createServer((peer) => peer.end('hello')).listen(socket);
    await expect(readStatus(socket)).rejects.toMatchObject({ reason: 'STATUS_UNREADABLE' });
    other.close();
  });

  it('with a path that is too long is refused with the reason', async () => {
    dir = join(dir, 'x'.repeat(100));
    await expect(serve()).rejects.toMatchObject({ reason: 'SOCKET_PATH_TOO_LONG' });
    server = undefined;
    dir = join(dir, '..');
  });
});

describe('conditions', () => {
  it('say since when, and nothing of what was never wrong', () => {
    const clock = new FakeClock(1_000);
    const conditions = new Conditions({ clock });
    let told = 0;
    conditions.onChange(() => told++);
    conditions.clear('Applied', 'fine');
    expect(conditions.list()).toEqual([]);
    conditions.raise('Applied', 'APPLY_FAILED', 'once');
    clock.setWall(2_000);
    conditions.raise('Applied', 'APPLY_FAILED', 'twice');
    expect(conditions.list()).toEqual([
      { type: 'Applied', status: 'false', reason: 'APPLY_FAILED', message: 'twice', since: 1_000 },
    ]);
    conditions.clear('Applied', 'fine');
    conditions.clear('Applied', 'fine');
    expect(conditions.list()).toEqual([{ type: 'Applied', status: 'true', reason: 'OK', message: 'fine', since: 2_000 }]);
    expect(told).toBe(3);
  });

  it('of a driver are all that it names, and no others of it', () => {
    const conditions = new Conditions({ clock: new FakeClock(0) });
    const fact = (type: string) => ({ type, status: 'true', reason: 'R', message: 'm' }) as const;
    conditions.raise('Applied', 'APPLY_FAILED', 'm');
    conditions.setFound([fact('A'), fact('B')]);
    conditions.setFound([fact('B')]);
    expect(conditions.list().map((c) => c.type)).toEqual(['Applied', 'B']);
  });
});
