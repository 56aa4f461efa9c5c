import { create } from '@bufbuild/protobuf';
import type {
  CreateForwardRequest,
  DeleteForwardRequest,
  ListForwardsRequest,
  UpdateForwardRequest,
} from '@gwctl/proto/gwctl/v1/forward_pb';
import {
  Affinity,
  ConditionSchema,
  ConditionStatus,
  DriverChoice,
  HealthCheckMode,
  Helper,
  PlacementState,
  Protocol,
  ProxyProtocol,
  SnatMode,
} from '@gwctl/proto/gwctl/v1/types_pb';
import { AppError } from '@gwctl/shared/errors/app-error';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { FakeControlPlane } from '../../testing/fake-control-plane.js';
import { Sandbox } from '../../testing/run.js';

let fake: FakeControlPlane;
let sandbox: Sandbox;

beforeAll(async () => {
  fake = await FakeControlPlane.start();
  sandbox = await Sandbox.make();
  await sandbox.logIn(fake);
});

afterAll(async () => {
  fake.stop();
  await sandbox.remove();
});

beforeEach(() => {
  fake.addGateway('gw1', { site: 'tokyo' });
});

afterEach(() => {
  fake.forwards.clear();
  fake.gateways.clear();
  fake.server.calls.length = 0;
  fake.pageSize = 1000;
});

const ADD = 'forward add web --gateway gw1 --listen 192.0.2.1:8080 --target 198.51.100.2:80';
const last = <T>(method: string): T => fake.requestsOf<T>(method).at(-1)!;

describe('forward add', () => {
  it('sends what the flags say', async () => {
    const result = await sandbox.run([
      ...'forward add ssh --gateway gw1 --listen 192.0.2.1:10022-10023/tcp+udp --target 198.51.100.2:22,weight=3 --target 198.51.100.3:22'.split(
        ' ',
      ),
      ...'--interface eth0 --allow 203.0.113.0/24 --allow lab.example.net --snat 198.51.100.1 --driver kernel --on-change cut --affinity client --helper none --clamp-mss --health-check tcp:8081'.split(
        ' ',
      ),
      ...'--expires 8h --owner web-team --label team=web --label tier=edge --announce --takeover --description'.split(' '),
      'SSH for the lab',
    ]);
    expect(result).toMatchObject({ code: 0, stdout: '' });
    expect(result.stderr).toBe('forward ssh added: 192.0.2.1:10022-10023/tcp+udp on gw1 to 198.51.100.2:22, 198.51.100.3:22\n');
    const { forward, validateOnly, requestId } = last<CreateForwardRequest>('CreateForward');
    expect({ validateOnly, requestId: requestId !== '' }).toEqual({ validateOnly: false, requestId: true });
    expect(forward?.labels).toEqual({ team: 'web', tier: 'edge' });
    expect(forward?.spec).toMatchObject({
      description: 'SSH for the lab',
      owner: 'web-team',
      on: { case: 'gateway', value: 'gw1' },
      listen: {
        address: '192.0.2.1',
        interface: 'eth0',
        protocol: Protocol.TCP_UDP,
        ports: { first: 10022, last: 10023 },
        announce: true,
      },
      targets: [
        { host: '198.51.100.2', port: 22, weight: 3 },
        { host: '198.51.100.3', port: 22, weight: 1 },
      ],
      affinity: Affinity.CLIENT,
      helper: Helper.NONE,
      clampMss: true,
      healthCheck: { mode: HealthCheckMode.TCP, port: 8081 },
      allowSources: ['203.0.113.0/24', 'lab.example.net'],
      snat: { mode: SnatMode.ADDRESS, address: '198.51.100.1' },
      enabled: true,
      takeover: true,
      expires: { seconds: BigInt((Date.UTC(2026, 0, 2, 12) + 8 * 3_600_000) / 1000) },
    });
  });

  it.each([
    ['--listen [2001:db8::1]:443 --target [2001:db8:1::10]', '[2001:db8::1]:443/tcp on gw1 to [2001:db8:1::10]'],
    ['--listen 192.168.100.3/all --announce --target 10.0.0.3 --health-check tcp:22', '192.168.100.3/all on gw1 to 10.0.0.3'],
    ['--listen 50000-50009/udp --target db.example.net:60000', '*:50000-50009/udp on gw1 to db.example.net:60000'],
    ['--listen 10.0.0.1:auto/udp --target 10.0.0.53', '10.0.0.1:50000/udp on gw1 to 10.0.0.53'],
    ['--listen 127.0.0.1:8080 --target 10.0.0.53:80', '127.0.0.1:8080/tcp on gw1 to 10.0.0.53:80'],
    ['--listen 9090 --target 127.0.0.1:9090 --driver relay', '*:9090/tcp on gw1 to 127.0.0.1:9090'],
    [
      '--listen [2001:db8::1]:443 --target 10.0.0.31:8443 --allow 2001:db8::/32 --snat 10.0.0.1 --proxy-protocol v1',
      '[2001:db8::1]:443/tcp on gw1 to 10.0.0.31:8443',
    ],
    ['--listen 53/tcp+udp --target 10.0.0.53 --allow office.example.net', '*:53/tcp+udp on gw1 to 10.0.0.53'],
  ])('takes %s', async (flags, sentence) => {
    const result = await sandbox.run(`forward add any --gateway gw1 ${flags}`);
    expect(result).toMatchObject({ code: 0, stderr: `forward any added: ${sentence}\n` });
  });

  it('sends what is asked of the relay, in seconds, and nothing where nothing is asked', async () => {
    const flags =
      '--proxy-protocol v2 --connect-timeout 2s --tcp-idle-timeout 1h30m --max-connections 1000 --max-connections-per-client 10';
    expect(await sandbox.run(`${ADD} --driver relay ${flags}`)).toMatchObject({ code: 0 });
    expect(last<CreateForwardRequest>('CreateForward').forward?.spec).toMatchObject({
      driver: DriverChoice.RELAY,
      relay: {
        proxyProtocol: ProxyProtocol.V2,
        connectTimeoutSeconds: 2,
        tcpIdleTimeoutSeconds: 5400,
        udpIdleTimeoutSeconds: 0,
        maxConnections: 1000,
        maxConnectionsPerClient: 10,
      },
    });
    const none = '--proxy-protocol none --connect-timeout default --udp-idle-timeout 0 --max-connections none';
    expect(await sandbox.run(`${ADD.replace('web', 'plain')} ${none}`)).toMatchObject({ code: 0 });
    expect(last<CreateForwardRequest>('CreateForward').forward?.spec?.relay).toBeUndefined();
  });

  it('places by a selector', async () => {
    expect((await sandbox.run('forward add dns --selector site=tokyo --listen 53/udp --target 198.51.100.53')).code).toBe(0);
    expect(last<CreateForwardRequest>('CreateForward').forward?.spec?.on).toMatchObject({
      case: 'gatewaySelector',
      value: { matchLabels: { site: 'tokyo' } },
    });
  });

  it('changes nothing in a dry run', async () => {
    const result = await sandbox.run(`${ADD} --dry-run -o name`);
    expect(result).toMatchObject({ code: 0, stdout: 'web\n' });
    expect(result.stderr).toContain('would be added (nothing was changed)');
    expect(fake.forwards.size).toBe(0);
  });

  it('prints what was made where a format is asked for', async () => {
    const yaml = await sandbox.run(`${ADD} -o yaml`);
    expect(parse(yaml.stdout)).toMatchObject({ kind: 'Forward', metadata: { name: 'web', generation: 1 } });
  });

  it.each([
    ['--listen 0', '--listen: "0" is not a port; write a whole number from 1 to 65535'],
    ['--listen 70000', '--listen: "70000" is not a port'],
    ['--listen 50009-50000', '--listen: 50009-50000 is reversed; write the lower port first'],
    ['--listen 0.0.0.0:80', '--listen: 0.0.0.0 is not an address of a gateway'],
    ['--target 2001:db8::1', '--target: "2001:db8::1": an IPv6 address stands in brackets'],
    [
      '--target [2001:db8::1]:80 --driver kernel',
      '--target (number 1): 2001:db8::1 is IPv6 and the listener IPv4, between which the kernel does not translate; use driver auto or relay',
    ],
    [
      '--listen 127.0.0.1:80 --driver kernel',
      '--listen: 127.0.0.1 is a loopback address, to which the kernel forwards nothing; use driver auto or relay',
    ],
    [
      '--proxy-protocol v2 --driver kernel',
      '--proxy-protocol: the PROXY protocol is spoken by the relay only; use driver auto or relay',
    ],
    ['--max-connections-per-client 1 --driver kernel', '--max-connections-per-client: the kernel does not count connections'],
    [
      '--udp-idle-timeout 9s --listen 192.0.2.1:53/udp --driver kernel',
      '--udp-idle-timeout: the kernel has one time-out for all',
    ],
    [
      '--listen 192.0.2.1/all --target 198.51.100.2 --driver relay',
      '--listen: the relay carries TCP and UDP; 1:1 NAT of an address',
    ],
    ['--snat none --driver relay', '--snat: the relay opens connections of its own and cannot keep the client'],
    ['--helper ftp --driver relay', '--helper: the relay does not follow FTP'],
    ['--clamp-mss --driver relay', '--clamp-mss: connections of the relay end at the gateway'],
    ['--takeover --driver relay', '--takeover: the relay listens with a socket of its own'],
    [
      '--proxy-protocol v2 --snat none',
      '--proxy-protocol: the PROXY protocol is spoken by the relay only; the relay cannot carry',
    ],
    ['--snat none --proxy-protocol v2', 'the kernel cannot carry this forward either, so leave this out, or what keeps it from'],
    ['--proxy-protocol v3', '--proxy-protocol: "v3" is not a version of the PROXY protocol; use none, v1 or v2'],
    ['--listen 192.0.2.1:53/udp --proxy-protocol v1', '--proxy-protocol: version 1 of the PROXY protocol knows TCP only'],
    ['--udp-idle-timeout 5s', '--udp-idle-timeout: is about UDP, which the listener does not take; leave it out'],
    ['--connect-timeout 1500ms', '--connect-timeout: "1500ms" is not whole seconds'],
    ['--connect-timeout 6m', '--connect-timeout: "6m" is too long; write 1s to 5m, or default'],
    ['--tcp-idle-timeout 8d', '--tcp-idle-timeout: "8d" is too long; write 1s to 7d, or default'],
    ['--tcp-idle-timeout soon', '--tcp-idle-timeout: "soon" is not a duration'],
    ['--max-connections 1000001', '--max-connections: "1000001" is not a limit; write a whole number from 1 to 1000000, or none'],
    ['--max-connections=-1', '--max-connections: "-1" is not a limit'],
    ['--target 127.0.0.1:0', '--target: "0" is not a port'],
    ['--allow 192.168.1.1/24', '--allow: "192.168.1.1/24" has host bits set; write 192.168.1.0/24'],
    ['--allow 300.0.0.0/8', '--allow: "300.0.0.0/8" is not a CIDR'],
    ['--allow 2001:db8::/32', '--allow (number 1): 2001:db8::/32 is IPv6 but the forward is IPv4'],
    ['--gateway Gw_1', '--gateway: "Gw_1" is not a name'],
    ['--selector site=a', '--gateway or --selector: both are given; name one gateway or one selector'],
    ['--interface a/b', '--interface: "a/b" is not an interface name'],
    ['--snat bogus', '--snat: "bogus" is not a way of source NAT; use auto, masquerade, none'],
    ['--snat 2001:db8::1', '--snat: 2001:db8::1 is IPv6 but the target 198.51.100.2 is IPv4'],
    ['--affinity sticky', '--affinity: "sticky" is not an affinity; use none or client'],
    ['--helper sip', '--helper: "sip" is not a helper; use auto, none or ftp'],
    ['--health-check http', '--health-check: "http" is not a health check; use auto, none, tcp or tcp:PORT'],
    ['--health-check tcp:0', '--health-check: "0" is not a port'],
    ['--listen 192.0.2.1:53/udp --clamp-mss', '--clamp-mss: changes the segment size of TCP'],
    ['--listen 192.0.2.1:53/udp --health-check tcp', '--health-check: is missing; a listener for udp has no TCP port'],
    ['--target 198.51.100.2:80,weight=0', '--target: "198.51.100.2:80,weight=0": only ,weight=N may stand behind'],
    ['--driver fast', '--driver: "fast" is not a driver; use auto, kernel or relay'],
    ['--on-change now', '--on-change: "now" is not a policy for changes; use drain, cut or keep'],
    ['--expires 2020-01-01T00:00:00Z', '--expires: 2020-01-01T00:00:00Z has passed'],
    ['--label team', '--label: "team" is not a label; write KEY=VALUE'],
    ['--owner \u001b[2J', '--owner: "\\u001b[2J" holds control characters'],
    ['--wait=0s', '--wait: "0s" is no time at all'],
    ['--wait --dry-run', '--wait: has nothing to wait for with --dry-run'],
    ['--foo', '--foo: is not a flag of this command'],
  ])('refuses %j with exit code 2 and sends nothing', async (flags, why) => {
    const base = ADD.split(' ');
    for (const flag of flags.split(' ').filter((f) => f.startsWith('--'))) {
      const at = base.indexOf(flag);
      if (at >= 0) base.splice(at, 2);
    }
    const result = await sandbox.run([...base, ...flags.split(' ')]);
    expect(result.stderr).toContain(why);
    expect(result).toMatchObject({ code: 2, stdout: '' });
    expect(fake.server.calls).toEqual([]);
    expect(result.stderr).not.toContain('\u001b');
  });

  it('says all that is wrong at once', async () => {
    const result = await sandbox.run('forward add Bad_Name --listen 0 --target x:0 --allow 1.2.3.4/99');
    expect(result.stderr.split('\n')).toEqual([
      'gwctl: flags or arguments are wrong',
      '  --listen: "0" is not a port; write a whole number from 1 to 65535',
      '  --target: "0" is not a port; write a whole number from 1 to 65535',
      '  --allow: "1.2.3.4/99" has no prefix length from 0 to 32; write one like 192.168.1.0/24 or 2001:db8::/32',
      '  NAME: "Bad_Name" is not a name; use 1 to 63 of a-z, 0-9 and "-", with a letter or digit first and last',
      'hint: gwctl forward add --help',
      '',
    ]);
  });

  it.each([
    ['INVALID_ARGUMENT', 2],
    ['NOT_FOUND', 3],
    ['PERMISSION_DENIED', 4],
    ['ALREADY_EXISTS', 5],
    ['FAILED_PRECONDITION', 5],
    ['ABORTED', 5],
    ['UNIMPLEMENTED', 1],
    ['RESOURCE_EXHAUSTED', 1],
    ['INTERNAL', 1],
  ] as const)('ends with the exit code of what the control plane says: %s', async (code, exit) => {
    fake.server.answerNext('CreateForward', {
      fails: new AppError({
        code,
        reason: code,
        message: 'spec.listen.ports: *:80 is taken by \u001b[31mother',
        violations: [{ field: 'spec.listen.ports', description: '*:80 is taken by \u001b[31mother' }],
      }),
    });
    const result = await sandbox.run(ADD);
    expect(result.code).toBe(exit);
    expect(result.stderr).toBe('gwctl: the control plane refused the request\n  --listen: *:80 is taken by \\u001b[31mother\n');
  });

  it('says what gateway is not there', async () => {
    const result = await sandbox.run(ADD.replace('gw1', 'gw9'));
    expect(result).toMatchObject({ code: 3 });
    expect(result.stderr).toContain('there is no gateway gw9');
  });

  it('tells the request id with -v', async () => {
    const result = await sandbox.run(`${ADD} -v`);
    const id = fake.server.calls[0]?.requestId;
    expect(id).toBeTruthy();
    expect(result.stderr).toContain(`request ${id} CreateForward: ok after`);
  });
});

describe('forward list and get', () => {
  beforeEach(async () => {
    for (const name of ['a', 'b', 'c', 'd', 'e'])
      await sandbox.run(
        `forward add ${name} --gateway gw1 --listen ${8000 + name.charCodeAt(0)} --target 198.51.100.2:80 --label n=${name}`,
      );
    fake.server.calls.length = 0;
  });

  it('reads every page', async () => {
    fake.pageSize = 2;
    const result = await sandbox.run('forward list -o name');
    expect(result).toEqual({ code: 0, stdout: 'a\nb\nc\nd\ne\n', stderr: '' });
    expect(fake.requestsOf<ListForwardsRequest>('ListForwards').map((r) => r.pageToken)).toEqual(['', '2', '4']);
  });

  it('stops at the limit, and says that there is more', async () => {
    fake.pageSize = 2;
    const result = await sandbox.run('forward list -o name --limit 2');
    expect(result.stdout).toBe('a\nb\n');
    expect(result.stderr).toContain('there are more than 2');
    const all = await sandbox.run('forward list -o name --limit 5');
    expect(all).toMatchObject({ stdout: 'a\nb\nc\nd\ne\n', stderr: '' });
  });

  it('filters', async () => {
    fake.agentSays('b', 'gw1', { state: PlacementState.REJECTED });
    expect((await sandbox.run('forward list --state rejected -o name')).stdout).toBe('b\n');
    expect((await sandbox.run('forward list --label n=c -o name')).stdout).toBe('c\n');
    expect((await sandbox.run('forward list --gateway gw9 -o name')).stdout).toBe('');
  });

  it('says that a list is empty on standard error', async () => {
    const result = await sandbox.run('forward list --owner nobody');
    expect(result).toEqual({ code: 0, stdout: '', stderr: 'no forwards match; gwctl forward add makes one\n' });
    expect(JSON.parse((await sandbox.run('forward list --owner nobody -o json')).stdout)).toEqual({
      apiVersion: 'gwctl/v1',
      kind: 'ForwardList',
      items: [],
    });
  });

  it('prints one YAML document for each', async () => {
    const { stdout } = await sandbox.run('forward list -o yaml');
    expect(stdout.split('---\n').map((d) => parse(d).metadata.name)).toEqual(['a', 'b', 'c', 'd', 'e']);
  });

  it('gives the same object as JSON and YAML, and a description for people', async () => {
    const json = JSON.parse((await sandbox.run('forward get a -o json')).stdout);
    expect(parse((await sandbox.run('forward get a -o yaml')).stdout)).toEqual(json);
    expect(json).toMatchObject({ apiVersion: 'gwctl/v1', kind: 'Forward', metadata: { name: 'a' } });
    const people = await sandbox.run('forward get a');
    expect(people.stdout).toContain('Name:             a\n');
    expect(people.stdout).toContain('On gw1:           PENDING\n');
  });

  it('escapes what agents say', async () => {
    fake.agentSays('a', 'gw1', { state: PlacementState.ACTIVE, driver: 'x\u001b[2J', clientAddress: 'y\u009b0m' });
    for (const format of ['', '-o wide', '-o json', '-o yaml']) {
      const { stdout } = await sandbox.run(`forward get a ${format}`);
      expect(stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
    }
  });

  it('ends with 3 for one that is not there', async () => {
    expect(await sandbox.run('forward get nothing')).toMatchObject({ code: 3, stdout: '' });
  });
});

describe('forward set', () => {
  beforeEach(async () => {
    await sandbox.run(`${ADD} --interface eth0 --allow 203.0.113.0/24 --owner o --label team=web --label old=x --expires 8h`);
    fake.server.calls.length = 0;
  });

  it.each([
    ['--target 198.51.100.9', ['spec.targets']],
    ['--listen 9090/udp', ['spec.listen.address', 'spec.listen.protocol', 'spec.listen.ports']],
    ['--interface=', ['spec.listen.interface']],
    ['--allow-anyone', ['spec.allow_sources']],
    ['--no-announce --takeover', ['spec.listen.announce', 'spec.takeover']],
    ['--expires never --snat none', ['spec.snat', 'spec.expires']],
    ['--selector site=tokyo', ['spec.gateway_selector']],
    ['--affinity client --helper ftp', ['spec.affinity', 'spec.helper']],
    ['--clamp-mss --health-check none', ['spec.clamp_mss', 'spec.health_check']],
    ['--no-clamp-mss', ['spec.clamp_mss']],
    ['--proxy-protocol v2', ['spec.relay.proxy_protocol']],
    [
      '--connect-timeout default --tcp-idle-timeout 24h --udp-idle-timeout 60s',
      ['connect', 'tcp_idle', 'udp_idle'].map((of) => `spec.relay.${of}_timeout_seconds`),
    ],
    [
      '--max-connections none --max-connections-per-client 0',
      ['spec.relay.max_connections', 'spec.relay.max_connections_per_client'],
    ],
    ['--allow 2001:db8::/32 --target 10.0.0.1:80', ['spec.targets', 'spec.allow_sources']],
    ['--driver relay --on-change keep --owner= ', ['spec.owner', 'spec.driver', 'spec.on_change']],
  ])('%s: names %j and no etag', async (flags, paths) => {
    expect(await sandbox.run(`forward set web ${flags}`)).toMatchObject({ code: 0 });
    const { updateMask, forward } = last<UpdateForwardRequest>('UpdateForward');
    expect([...(updateMask?.paths ?? [])].sort()).toEqual([...paths].sort());
    expect(forward?.etag).toBe('');
    expect(fake.server.calls.map((c) => c.method)).toEqual(['UpdateForward']);
  });

  it('leaves alone what is not named', async () => {
    await sandbox.run('forward set web --listen 9090/udp');
    expect(fake.forward('web').spec).toMatchObject({
      listen: { address: '', interface: 'eth0', protocol: Protocol.UDP },
      owner: 'o',
      allowSources: ['203.0.113.0/24'],
    });
  });

  it('changes one option of the relay and resets another', async () => {
    const relay = () => fake.forward('web').spec?.relay;
    await sandbox.run('forward set web --proxy-protocol v1 --connect-timeout 9s --max-connections 7');
    await sandbox.run('forward set web --connect-timeout default --max-connections-per-client 3');
    expect(relay()).toMatchObject({
      proxyProtocol: ProxyProtocol.V1,
      connectTimeoutSeconds: 0,
      maxConnections: 7,
      maxConnectionsPerClient: 3,
    });
    const { stdout } = await sandbox.run('forward get web');
    expect(stdout).toContain('PROXY protocol:   v1\n');
    expect(stdout).toContain('Connections:      at most 7, 3 of each client address\n');
    expect(parse((await sandbox.run('forward get web -o yaml')).stdout).spec.relay).toEqual({
      proxyProtocol: 'v1',
      maxConnections: 7,
      maxConnectionsPerClient: 3,
    });
    await sandbox.run('forward set web --proxy-protocol none --max-connections none --max-connections-per-client none');
    expect((await sandbox.run('forward get web')).stdout).not.toMatch(/PROXY|Connections|time-out/);
  });

  it('says what carries it and why', async () => {
    const message = 'the relay carries it: 127.0.0.1 is a loopback address, to which the kernel forwards nothing';
    fake.agentSays('web', 'gw1', {
      state: PlacementState.ACTIVE,
      driver: 'relay',
      conditions: [create(ConditionSchema, { type: 'Carrier', status: ConditionStatus.TRUE, reason: 'RELAY_NEEDED', message })],
    });
    const { stdout } = await sandbox.run('forward get web');
    expect(stdout).toContain(`  Driver:         relay\n                  ${message}\n`);
    expect((await sandbox.run('forward list -o wide')).stdout).toMatch(/ relay /);
  });

  it('sets and removes single labels under the etag that it read', async () => {
    expect(await sandbox.run('forward set web --label team=db --label old-')).toMatchObject({ code: 0 });
    expect(fake.forward('web').labels).toEqual({ team: 'db' });
    expect(last<UpdateForwardRequest>('UpdateForward').forward?.etag).toBe('e1');
  });

  it('merges labels anew when somebody was faster, and gives up after a while', async () => {
    const stale = { fails: new AppError({ code: 'ABORTED', reason: 'STALE_ETAG', message: 'stale' }) };
    fake.server.answerNext('UpdateForward', stale);
    expect(await sandbox.run('forward set web --label a=1')).toMatchObject({ code: 0 });
    for (let i = 0; i < 3; i++) fake.server.answerNext('UpdateForward', stale);
    expect(await sandbox.run('forward set web --label a=2')).toMatchObject({ code: 5 });
  });

  it('keeps to the etag that was given', async () => {
    expect(await sandbox.run('forward set web --etag e0 --owner x')).toMatchObject({ code: 5 });
    expect(await sandbox.run('forward set web --etag e0 --label a=1')).toMatchObject({ code: 5 });
    expect(await sandbox.run('forward set web --etag e1 --owner x')).toMatchObject({ code: 0 });
  });

  it.each([
    ['', 'nothing to change'],
    ['--dry-run', 'nothing to change'],
    ['--allow 10.0.0.0/8 --allow-anyone', '--allow-anyone: contradicts --allow'],
    ['--listen 0.0.0.0:80', '--listen: 0.0.0.0 is not an address of a gateway'],
    ['--listen 192.0.2.1:80 --allow 2001:db8::/32', '--allow (number 1): 2001:db8::/32 is IPv6 but the forward is IPv4'],
    ['--snat 10.0.0.1 --target [2001:db8::1]:80', '--snat: 10.0.0.1 is IPv4 but the target 2001:db8::1 is IPv6'],
    ['--listen 53/udp --connect-timeout 5s', '--connect-timeout: is about TCP, which the listener does not take'],
    ['--connect-timeout 0.5s', '--connect-timeout: "0.5s" is not a duration'],
    ['--gateway gw1 --selector a=b', 'both are given'],
    ['--expires 2020-01-01T00:00:00Z', 'has passed'],
  ])('refuses "%s" with exit code 2 and sends nothing', async (flags, why) => {
    const result = await sandbox.run(`forward set web ${flags}`);
    expect(result.code).toBe(2);
    expect(result.stderr).toContain(why);
    expect(fake.server.calls).toEqual([]);
  });
});

describe('several at once', () => {
  beforeEach(async () => {
    for (const name of ['a', 'b']) await sandbox.run(ADD.replace('web', name));
    fake.server.calls.length = 0;
  });

  it('deletes all that it can and ends with 7', async () => {
    const result = await sandbox.run('forward delete a missing b');
    expect(result.code).toBe(7);
    expect(result.stderr).toContain('there is no forward missing');
    expect(result.stderr).toContain('2 of 3 done; failed: missing');
    expect(fake.forwards.size).toBe(0);
  });

  it('ends with the kind of the first failure where nothing was done', async () => {
    expect(await sandbox.run('forward delete x y')).toMatchObject({ code: 3 });
  });

  it('deletes under an etag one at a time only', async () => {
    expect(await sandbox.run('forward delete a b --etag e1')).toMatchObject({ code: 2 });
    expect(await sandbox.run('forward delete a --etag e9')).toMatchObject({ code: 5 });
    expect(await sandbox.run('forward delete a --etag e1')).toMatchObject({ code: 0 });
    expect(last<DeleteForwardRequest>('DeleteForward').etag).toBe('e1');
  });

  it('deletes nothing in a dry run', async () => {
    expect(await sandbox.run('forward delete a --dry-run')).toMatchObject({ code: 0 });
    expect(last<DeleteForwardRequest>('DeleteForward').validateOnly).toBe(true);
    expect(fake.forwards.size).toBe(2);
  });

  it('disables and enables', async () => {
    expect(await sandbox.run('forward disable a b')).toMatchObject({
      code: 0,
      stderr: 'forward a disabled\nforward b disabled\n',
    });
    expect(fake.forward('b').spec?.enabled).toBe(false);
    expect(await sandbox.run('forward enable a')).toMatchObject({ code: 0 });
    expect(last<UpdateForwardRequest>('UpdateForward').updateMask?.paths).toEqual(['spec.enabled']);
    expect(fake.forward('a').spec?.enabled).toBe(true);
  });
});

describe('forward extend', () => {
  it('only ever makes the end later', async () => {
    await sandbox.run(`${ADD} --expires 8h`);
    const result = await sandbox.run('forward extend web --expires 1d');
    expect(result).toMatchObject({ code: 0 });
    expect(result.stderr).toBe('forward web expires at 2026-01-03T12:00:00Z (was 2026-01-02T20:00:00Z)\n');
    expect(last<UpdateForwardRequest>('UpdateForward').forward?.etag).toBe('e1');
    expect(await sandbox.run('forward extend web --expires 1h')).toMatchObject({ code: 5 });
  });

  it('has nothing to extend where nothing expires', async () => {
    await sandbox.run(ADD);
    expect(await sandbox.run('forward extend web --expires 1h')).toMatchObject({ code: 5 });
  });
});
