import { existsSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { LabSpec } from './index.js';
import { CommandError, Lab, waitFor } from './index.js';

const spec = {
  name: 'self',
  hosts: {
    a: {
      links: { eth0: { segment: 'lan', addresses: ['10.1.0.1/24', 'fd01::1/64'] } },
      routes: ['default via 10.1.0.2', 'default via fd01::2'],
    },
    r: {
      links: {
        eth0: { segment: 'lan', addresses: ['10.1.0.2/24', 'fd01::2/64'] },
        wan0: { segment: 'wire', addresses: ['10.2.0.2/24', 'fd02::2/64'] },
      },
      sysctls: { 'net.ipv4.ip_forward': 1, 'net.ipv6.conf.all.forwarding': 1 },
    },
    b: {
      links: { eth0: { segment: 'wire', addresses: ['10.2.0.1/24', 'fd02::1/64'] } },
      routes: ['default via 10.2.0.2', 'default via fd02::2'],
    },
    c: { links: { eth0: { segment: 'lan', addresses: ['10.1.0.3/24'] } } },
  },
} as const satisfies LabSpec;

describe('a lab', () => {
  let lab: Lab<keyof typeof spec.hosts>;

  beforeAll(async () => {
    lab = await Lab.create(spec);
    await lab.host('b').serve([
      { proto: 'tcp', address: '10.2.0.1', port: 7 },
      { proto: 'udp', address: '10.2.0.1', port: 7 },
      { proto: 'tcp', address: 'fd02::1', port: 7 },
      { proto: 'udp', address: 'fd02::1', port: 7 },
    ]);
  });
  afterAll(() => lab.destroy());

  it('runs a command in a host of its own', async () => {
    const { code, stdout } = await lab
      .host('a')
      .exec(['sh', '-c', 'hostname; ls /sys/class/net; ls /run/netns; cat'], { stdin: 'in\n' });
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'a\neth0\nlo\nin\n' });
  });

  it('knows the other hosts by name, and no DNS', async () => {
    const a = lab.host('a');
    expect((await a.exec(['getent', 'hosts', 'b'])).stdout).toMatch(/^10\.2\.0\.1 /);
    expect((await a.exec(['getent', 'hosts', 'example.org'], { allowFailure: true, timeoutMs: 2000 })).code).toBe(2);
  });

  it('fails with the command, its code and what it said', async () => {
    const failed = await lab
      .host('a')
      .exec(['sh', '-c', 'echo out; echo err >&2; exit 3'])
      .catch((error: unknown) => error);
    expect(failed).toBeInstanceOf(CommandError);
    expect(failed).toMatchObject({ code: 3, stdout: 'out\n', stderr: 'err\n' });
    expect(String(failed)).toContain('a# sh -c');
    expect((await lab.host('a').exec(['false'], { allowFailure: true })).code).toBe(1);
  });

  it('kills a command that takes too long, and what it started', async () => {
    const slow = lab.host('a').exec(['sh', '-c', 'sleep 300 & sleep 301'], { timeoutMs: 100 });
    await expect(slow).rejects.toThrow('no end within 100 ms, killed');
    await waitFor(
      () =>
        !lab
          .host('a')
          .runningProcesses()
          .some((p) => p.command.startsWith('sleep')),
      { what: 'sleep gone' },
    );
  });

  it.each([
    ['tcp', '10.2.0.1', '10.1.0.1'],
    ['udp', '10.2.0.1', '10.1.0.1'],
    ['tcp', 'fd02::1', '[fd01::1]'],
    ['udp', 'fd02::1', '[fd01::1]'],
  ] as const)('routes %s to %s and the answer tells the source', async (proto, to, source) => {
    const answer = await lab.host('a').ask({ proto, to, port: 7, sourcePort: 4711 });
    expect(answer).toEqual({ local: to.includes(':') ? `[${to}]:7` : `${to}:7`, peer: `${source}:4711` });
  });

  it('tells refused, unreachable, timed out and reset apart', async () => {
    const { a, b, c } = { a: lab.host('a'), b: lab.host('b'), c: lab.host('c') };
    expect(await a.ask({ proto: 'tcp', to: '10.2.0.1', port: 8 })).toBe('refused');
    expect(await a.ask({ proto: 'udp', to: '10.2.0.1', port: 8 })).toBe('refused');
    expect(await c.ask({ proto: 'tcp', to: '10.2.0.1', port: 7 })).toBe('unreachable');
    await b.exec(['iptables-nft', '-A', 'INPUT', '-p', 'tcp', '--dport', '9', '-j', 'DROP']);
    expect(await a.ask({ proto: 'tcp', to: '10.2.0.1', port: 9, timeoutMs: 100 })).toBe('timeout');
    const server = await b.serve([{ proto: 'tcp', address: '0.0.0.0', port: 10 }]);
    const flow = await a.open({ proto: 'tcp', to: '10.2.0.1', port: 10 });
    expect(await flow.echo()).toBe('echoed');
    await server.stop({ flows: 'reset' });
    expect(await flow.echo()).toBe('reset');
    await b.exec(['iptables-nft', '-F']);
  });

  it('refuses a question that cannot be asked', async () => {
    await expect(lab.host('a').ask({ proto: 'tcp', to: '10.2.0.1', port: 7, from: '10.9.9.9' })).rejects.toThrow('EADDRNOTAVAIL');
    await expect(lab.host('b').serve([{ proto: 'udp', address: '0.0.0.0', port: 9 }])).rejects.toThrow('name each address');
  });

  it('asks hundreds of questions in a second or two', async () => {
    const began = performance.now();
    const asked = Array.from({ length: 500 }, (_, i) =>
      lab.host('a').ask({ proto: i % 2 ? 'tcp' : 'udp', to: '10.2.0.1', port: 7 }),
    );
    expect((await Promise.all(asked)).filter((answer) => typeof answer === 'string')).toEqual([]);
    expect(performance.now() - began).toBeLessThan(5000);
  });

  it('starts a program, awaits its readiness and ends it', async () => {
    const a = lab.host('a');
    const running = await a.spawn(['sh', '-c', 'trap "echo bye; exit 4" TERM; echo ready; while :; do sleep 0.05; done'], {
      ready: /ready/,
    });
    expect(await running.stop()).toEqual({ code: 4, signal: null });
    expect(running.stdout).toBe('ready\nbye\n');
    await expect(a.spawn(['sh', '-c', 'echo no >&2; exit 1'], { ready: /ready/ })).rejects.toThrow(/ended.*\n?no/);
    const listening = await a.spawn([process.execPath, '-e', 'require("net").createServer().listen(8080)'], { ready: 8080 });
    expect(a.isListening(8080)).toBe(true);
    listening.kill('SIGKILL');
    expect(await listening.exited).toEqual({ code: null, signal: 'SIGKILL' });
  });

  it('runs a program as somebody who is not root', async () => {
    const path = lab.directory('ordinary', { asOrdinaryUser: true });
    const command = ['sh', '-c', 'id -u; echo x > file; test -w /etc && echo root'];
    const { stdout } = await lab.host('a').exec(command, { asOrdinaryUser: true, cwd: path, allowFailure: true });
    expect(stdout).toBe('29999\n');
    expect(existsSync(`${path}/file`)).toBe(true);
  });

  it.each(['tcp', 'udp'] as const)('counts what a prober loses over %s', async (proto) => {
    const { a, b } = { a: lab.host('a'), b: lab.host('b') };
    const prober = await a.prober({ to: '10.2.0.1', port: 7, proto, timeoutMs: 100 }).start().settled();
    const long = await a.prober({ to: '10.2.0.1', port: 7, proto, kind: 'longFlow', timeoutMs: 100 }).start().settled();
    const rule = ['INPUT', '-p', proto, '--dport', '7', '-j', 'DROP'];
    await b.exec(['iptables-nft', '-A', ...rule]);
    const blocked = performance.now();
    await waitFor(() => performance.now() - blocked > 300, { what: 'the measured outage' });
    await b.exec(['iptables-nft', '-D', ...rule]);
    await waitFor(async () => typeof (await a.ask({ proto, to: '10.2.0.1', port: 7 })) === 'object', { what: 'an answer again' });
    const [report, longReport] = [await prober.stop(), await long.stop()];
    expect(report.lost).toBeGreaterThan(15);
    expect(report.succeeded).toBeGreaterThan(0);
    expect(report.attempts).toBe(report.succeeded + report.lost);
    expect(report.longestGapMs).toBeGreaterThanOrEqual(290);
    expect(report.longestGapMs).toBeLessThan(1500);
    expect(longReport).toMatchObject({ survived: true, refused: 0, broken: 0 });
    expect(longReport.longestAnswerMs + longReport.longestGapMs).toBeGreaterThan(290);
  });

  it('loses nothing where nothing is wrong', async () => {
    const a = lab.host('a');
    const probers = [
      a.prober({ to: '10.2.0.1', port: 7 }).start(),
      a.prober({ to: 'fd02::1', port: 7, proto: 'udp' }).start(),
      a.prober({ to: '10.2.0.1', port: 7, kind: 'longFlow' }).start(),
    ];
    await Promise.all(probers.map((p) => p.settled()));
    const began = performance.now();
    await waitFor(() => performance.now() - began > 500, { what: 'half a second of probing' });
    for (const report of await Promise.all(probers.map((p) => p.stop()))) {
      expect(report).toMatchObject({ lost: 0, refused: 0, broken: 0, survived: true, failures: [] });
      expect(report.succeeded).toBeGreaterThan(40);
      expect(report.longestGapMs).toBeLessThan(200);
    }
  });

  it('says that a long flow was cut', async () => {
    const { a, b } = { a: lab.host('a'), b: lab.host('b') };
    const server = await b.serve([{ proto: 'tcp', address: '10.2.0.1', port: 11 }]);
    const long = await a.prober({ to: '10.2.0.1', port: 11, kind: 'longFlow' }).start().settled();
    await server.stop({ flows: 'reset' });
    expect(await long.stop()).toMatchObject({ survived: false, broken: 1 });
  });

  it('compares rules without counters and without our own', async () => {
    const b = lab.host('b');
    const empty = await lab.snapshotRules('b');
    await b.exec(['iptables-nft', '-t', 'nat', '-A', 'POSTROUTING', '-j', 'MASQUERADE']);
    await b.exec(['iptables-legacy', '-A', 'FORWARD', '-j', 'DROP']);
    const before = await lab.snapshotRules('b');
    expect(before).not.toEqual(empty);
    expect(before['iptables-legacy']).toContain('-A FORWARD -j DROP');
    await b.exec(['ping', '-c1', '-W1', '10.2.0.2']);
    await b.exec(['iptables-nft', '-t', 'nat', '-N', 'GWCTL-PRE']);
    await b.exec(['nft', 'add table inet gwctl { chain x { accept; }; }']);
    await b.exec(['iptables-nft', '-t', 'mangle', '-N', 'GWCTL-MANGLE']);
    await b.exec(['iptables-nft', '-t', 'mangle', '-A', 'FORWARD', '-j', 'GWCTL-MANGLE']);
    await b.exec(['iptables-legacy', '-t', 'nat', '-A', 'PREROUTING', '-m', 'comment', '--comment', 'gwctl']);
    expect(await lab.snapshotRules('b')).toEqual(before);
    expect(await lab.snapshotRules('b', { without: null })).not.toEqual(before);
  });

  it('reboots a host: processes and rules gone, interfaces back, peers too', async () => {
    const b = lab.host('b');
    await lab.reboot('b');
    expect(b.runningProcesses()).toEqual([]);
    expect(await lab.snapshotRules('b')).toEqual(await lab.snapshotRules('c'));
    expect(await lab.host('a').ask({ proto: 'tcp', to: '10.2.0.1', port: 7 })).toBe('refused');
    await b.serve([
      { proto: 'tcp', address: '10.2.0.1', port: 7 },
      { proto: 'tcp', address: 'fd02::1', port: 7 },
    ]);
    await lab.reboot('r');
    expect(await lab.host('a').ask({ proto: 'tcp', to: '10.2.0.1', port: 7 })).toMatchObject({
      peer: expect.stringMatching(/^10\.1\.0\.1:/),
    });
    expect(await lab.host('a').ask({ proto: 'tcp', to: 'fd02::1', port: 7 })).toMatchObject({ local: '[fd02::1]:7' });
  });
});

describe('the end of a lab', () => {
  const one = { name: 'end', hosts: { a: { links: { eth0: { segment: 'lan', addresses: ['10.1.0.1/24'] } } } } } as const;

  it('leaves nothing, and the name is free again', async () => {
    for (let i = 0; i < 3; i++) {
      const lab = await Lab.create(one);
      await lab.host('a').spawn(['sh', '-c', 'sleep 300 & sleep 301']);
      const { path } = lab;
      await expect(Lab.create(one)).rejects.toThrow('exists already');
      await lab.destroy();
      expect(existsSync(path)).toBe(false);
      expect(existsSync('/run/netns/end-a')).toBe(false);
    }
  });

  it('fails and names a process that was left by something else, and ends it', async () => {
    const lab = await Lab.create(one);
    // It leaves the process group and its parent ends: nobody of ours knows it.
    await lab.host('a').exec(['sh', '-c', 'setsid sleep 302 >/dev/null 2>&1 </dev/null &']);
    await waitFor(
      () =>
        lab
          .host('a')
          .runningProcesses()
          .some((p) => p.command.endsWith('sleep 302')),
      { what: 'the stray' },
    );
    await expect(lab.destroy()).rejects.toThrow(/left behind:\n {2}process \d+: .*sleep 302/);
    const again = await Lab.create(one);
    await again.host('a').exec(['sh', '-c', 'setsid sleep 303 >/dev/null 2>&1 </dev/null &']);
    await waitFor(
      () =>
        again
          .host('a')
          .runningProcesses()
          .some((p) => p.command.endsWith('sleep 303')),
      { what: 'the stray' },
    );
    await again.destroy({ mayBeLeft: [/sleep 303$/] });
  });

  it('takes down what was half built', async () => {
    const wrong = { ...one, hosts: { ...one.hosts, b: { links: {}, routes: ['default via 10.9.9.9'] } } };
    await expect(Lab.create(wrong)).rejects.toThrow(/Network is unreachable|Nexthop/);
    await (await Lab.create(one)).destroy();
  });

  it('refuses a bad description before it makes anything', async () => {
    const bad = { name: 'bad', hosts: { a: { links: { eth0: { segment: 'lan', addresses: ['10.1.0.1'] } } } } };
    await expect(Lab.create(bad)).rejects.toThrow('a eth0: "10.1.0.1" is no address with prefix length');
  });
});
