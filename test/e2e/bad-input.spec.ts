/** Bad input: each a clear error with the right exit code, and nothing changed. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { formatJoinString, parseJoinString } from '@gwctl/shared/wire/join-string';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { waitFor } from '../lab/index.js';
import { World } from './world.js';

let world: World;

beforeAll(async () => {
  world = await World.start({ name: 'bad-input' });
  // Where nothing answers at the target, a forward is in place and yet not well.
  await world.serve('gitbucket', '192.168.2.122:10022');
  await world.gwctl(['forward', 'add', 'taken', ...on('192.168.1.10:10022'), '--wait']);
});
afterAll(() => world?.stop());

/** Flags of a good forward with this listener. */
function on(listen: string, ...more: string[]): string[] {
  return ['--gateway', 'gw1', '--listen', listen, '--target', '192.168.2.122:10022', ...more];
}

/** Everything that a refused command must leave as it was. */
async function standing(): Promise<string> {
  const forwards = await world.gwctl(['forward', 'list', '-o', 'json']);
  const gateway = JSON.parse((await world.gwctl(['gateway', 'get', 'gw1', '-o', 'json'])).stdout);
  return JSON.stringify([
    JSON.parse(forwards.stdout).items.map((f: { metadata: unknown; spec: unknown }) => [f.metadata, f.spec]),
    gateway.status.revision,
  ]);
}

describe('bad input to gwctl', () => {
  const cases: [string, string[], number, RegExp][] = [
    ['port 0', ['forward', 'add', 'x', ...on('192.168.1.10:0')], 2, /listen.*\b0\b.*1 to 65535/is],
    ['port 70000', ['forward', 'add', 'x', ...on('192.168.1.10:70000')], 2, /listen.*70000.*65535/is],
    ['a reversed range', ['forward', 'add', 'x', ...on('192.168.1.10:90-80')], 2, /90-80.*reversed.*80-90/is],
    ['a bad name', ['forward', 'add', 'Bad_Name', ...on('192.168.1.10:80')], 2, /Bad_Name.*a-z/is],
    ['a bad CIDR', ['forward', 'add', 'x', ...on('192.168.1.10:80', '--allow', '10.0.0.0/99')], 2, /allow.*10\.0\.0\.0\/99/is],
    [
      'a CIDR with host bits',
      ['forward', 'add', 'x', ...on('192.168.1.10:80', '--allow', '10.0.0.1/8')],
      2,
      /host bits.*10\.0\.0\.0\/8/is,
    ],
    [
      'an IPv6 target for an IPv4 listener of the kernel',
      [
        'forward',
        'add',
        'x',
        '--gateway',
        'gw1',
        '--listen',
        '192.168.1.10:80',
        '--target',
        '[2001:db8::1]:80',
        '--driver',
        'kernel',
      ],
      2,
      /target.*2001:db8::1.*IPv6.*IPv4.*driver auto or relay/is,
    ],
    [
      "the client's own address through the relay",
      ['forward', 'add', 'x', ...on('192.168.1.10:80', '--driver', 'relay', '--snat', 'none')],
      2,
      /--snat: the relay .*cannot keep the client's address.*driver auto or kernel/is,
    ],
    [
      'what only the relay can do together with what only the kernel can do',
      ['forward', 'add', 'x', ...on('192.168.1.10:80', '--proxy-protocol', 'v2', '--clamp-mss')],
      2,
      /--proxy-protocol: .*relay cannot carry this forward either.*--clamp-mss: .*kernel cannot carry this forward either/is,
    ],
    [
      'a change to a driver that cannot carry it',
      ['forward', 'set', 'taken', '--listen', '127.0.0.1:10022', '--driver', 'kernel'],
      2,
      /--listen: 127\.0\.0\.1 is a loopback address, to which the kernel forwards nothing/is,
    ],
    [
      'an unknown gateway',
      ['forward', 'add', 'x', '--gateway', 'nowhere', '--listen', '80', '--target', '10.0.0.1:80'],
      3,
      /nowhere/,
    ],
    ['a taken listener', ['forward', 'add', 'x', ...on('192.168.1.10:10022')], 5, /taken/],
    ['a wildcard against a taken address', ['forward', 'add', 'x', ...on('10022')], 5, /taken/],
    ['a taken name', ['forward', 'add', 'taken', ...on('192.168.1.10:81')], 5, /"taken" is taken/],
    ['a stale etag', ['forward', 'set', 'taken', '--etag', 'stale', '--description', 'x'], 5, /changed|etag/i],
    ['an unknown forward', ['forward', 'get', 'nothing'], 3, /nothing/],
    ['an unknown command', ['forward', 'frobnicate'], 2, /frobnicate/],
    ['an unknown flag', ['forward', 'list', '--frobnicate'], 2, /frobnicate/],
    [
      'what is not built yet: a selector',
      ['forward', 'add', 'x', '--selector', 'site=tokyo', '--listen', '80', '--target', '10.0.0.1:80'],
      1,
      /not supported|not.*yet/i,
    ],
  ];

  it.each(cases)('%s', async (_name, args, code, message) => {
    const before = await standing();
    const result = await world.gwctl(args, { allowFailure: true });
    expect(`${result.stderr}`).toMatch(message);
    expect(result).toMatchObject({ code, stdout: '' });
    expect(await standing()).toBe(before);
  });
});

describe('what only the gateway can know', () => {
  it('the port of its own sshd is refused, and it still answers', async () => {
    const sshd = await world.serve('gw1', '0.0.0.0:22');
    const result = await world.gwctl(['forward', 'add', 'ssh', ...on('192.168.1.10:22'), '--wait'], { allowFailure: true });
    expect(result).toMatchObject({ code: 1, stderr: expect.stringMatching(/ssh/i) });
    expect(await world.forwardState('ssh')).toBe('REJECTED');
    expect(await world.ask('client', '192.168.1.10:22')).toMatchObject({ local: '192.168.1.10:22' });
    await world.gwctl(['forward', 'delete', 'ssh', '--wait']);
    await sshd.stop();
  });

  it("a local socket's port is refused with its owner, and taken once it is free", async () => {
    const socket = await world.serve('gw1', '192.168.1.10:8080');
    const result = await world.gwctl(['forward', 'add', 'web', ...on('192.168.1.10:8080'), '--wait'], { allowFailure: true });
    expect(result).toMatchObject({ code: 1, stderr: expect.stringMatching(/8080.*in use|in use.*8080/is) });
    await socket.stop();
    await waitFor(async () => (await world.forwardState('web')) === 'ACTIVE', {
      what: 'the forward took the free port',
      timeoutMs: 10_000,
    });
    await world.gwctl(['forward', 'delete', 'web', '--wait']);
  });
});

describe('bad credentials and addresses', () => {
  const login = (server: string, tokenFile: string) =>
    world.gwctl(['login', '--server', server, '--ca', world.caFile, '--token-file', tokenFile, '--context', 'wrong'], {
      allowFailure: true,
    });

  it('an unreadable token file', async () => {
    const result = await login(world.server, '/nonexistent/token');
    expect(result.stderr).toContain('/nonexistent/token');
    expect(result.code).toBe(1);
  });

  it('a wrong token is refused and not stored', async () => {
    const file = join(world.dir, 'wrong-token');
    writeFileSync(file, `gwctl_at_${'A'.repeat(43)}\n`, { mode: 0o600 });
    expect((await login(world.server, file)).code).toBe(4);
    expect((await world.gwctl(['context', 'list', '-o', 'name'])).stdout).not.toContain('wrong');
  });

  it('an unreachable control plane', async () => {
    const result = await login('192.168.1.5:9', world.tokenFile);
    expect(result.stderr).toContain('192.168.1.5:9');
    expect(result.code).toBe(1);
  });

  it('a join token works once', async () => {
    const joinString = (await world.gwctl(['gateway', 'add', 'gw2'])).stdout.trim();
    expect((await world.join(joinString, 'state-a')).code).toBe(0);
    const again = await world.join(joinString, 'state-b');
    expect(again.stderr).toMatch(/gateway token/);
    expect(again.stderr).not.toContain(joinString);
    expect(again.code).toBe(4);
  });

  it('an expired join token never', async () => {
    const joinString = (await world.gwctl(['gateway', 'token', 'gw2', '--token-ttl', '1s'])).stdout.trim();
    const expires = Date.now() + 1_000;
    // Its life is measured by the control plane's clock, which is this machine's: that it has passed is what is awaited.
    await waitFor(() => Date.now() > expires, { what: 'the token expired' });
    expect((await world.join(joinString, 'state-c')).code).toBe(4);
  });

  it("a join string with another CA's fingerprint is refused before the token is sent", async () => {
    const text = (await world.gwctl(['gateway', 'token', 'gw2'])).stdout.trim();
    const parsed = parseJoinString(text);
    if (!parsed.ok) throw new Error(parsed.error);
    const result = await world.join(formatJoinString({ ...parsed.value, caFingerprint: '00'.repeat(32) }), 'state-d');
    expect(result.stderr).toMatch(/fingerprint/i);
    expect(result.code).toBe(1);
    // The token was not sent, so it still works with the right fingerprint.
    expect((await world.join(text, 'state-d')).code).toBe(0);
  });
});
