import { create } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { EventSchema } from '@gwctl/proto/gwctl/v1/event_pb';
import type { AllowMassRemovalRequest, CreateJoinTokenRequest, UpdateGatewayRequest } from '@gwctl/proto/gwctl/v1/gateway_pb';
import { ConditionSchema, ConditionStatus, DriftCause, DriftPolicy, PlacementState } from '@gwctl/proto/gwctl/v1/types_pb';
import { AppError } from '@gwctl/shared/errors/app-error';
import { describe, expect, it } from 'vitest';
import { Sandbox } from '../../testing/run.js';
import { useControlPlane } from '../../testing/use-control-plane.js';

const site = useControlPlane();

describe('gateway add and token', () => {
  it('prints the join string alone on standard output', async () => {
    const result = await site.run('gateway add gw1 --label site=tokyo --token-ttl 30m --token-source 10.0.0.0/8');
    expect(result).toMatchObject({ code: 0, stdout: 'gwctl-join-1.gw1\n' });
    expect(result.stderr).toContain('until 2026-01-03T00:00:00Z (in 12h), once: gwctl-agent join');
    expect(site.fake.gateway('gw1').labels).toEqual({ site: 'tokyo' });
    expect(site.fake.requestsOf<CreateJoinTokenRequest>('CreateJoinToken')[0]).toMatchObject({
      ttlSeconds: 1800,
      sourceCidr: '10.0.0.0/8',
    });
  });

  it('says what to do when the gateway was made but no join string', async () => {
    site.fake.server.answerNext('CreateJoinToken', {
      fails: new AppError({ code: 'INTERNAL', reason: 'INTERNAL', message: 'internal error' }),
    });
    const result = await site.run('gateway add gw1');
    expect(result).toMatchObject({ code: 7, stdout: '' });
    expect(result.stderr).toContain('hint: gwctl gateway token gw1');
    expect(await site.run('gateway token gw1')).toMatchObject({ code: 0, stdout: 'gwctl-join-1.gw1\n' });
  });

  it.each([
    ['gateway add Gw1', 2],
    ['gateway add gw1 --token-ttl 2h', 2],
    ['gateway add gw1 --token-ttl 10ms', 2],
    ['gateway add gw1 --token-source 10.0.0.1/8', 2],
    ['gateway add gw1 --label a=1 --label a=2', 2],
    ['gateway add', 2],
    ['gateway token gw1', 3],
    ['gateway get gw1', 3],
  ])('%s: %i', async (words, code) => {
    expect(await site.run(words)).toMatchObject({ code, stdout: '' });
  });

  it('refuses a name that is taken', async () => {
    site.fake.addGateway('gw1');
    expect(await site.run('gateway add gw1')).toMatchObject({ code: 5, stdout: '' });
  });
});

describe('gateway list, get, label, cordon, delete', () => {
  it('lists and shows', async () => {
    site.fake.addGateway('gw1', { site: 'tokyo' });
    site.fake.addGateway('gw2').status!.connected = false;
    const list = await site.run('gateway list');
    expect(list.stdout.split('\n').map((l) => l.split(/ {3,}/).slice(0, 2))).toEqual([
      ['NAME', 'STATUS'],
      ['gw1', 'online'],
      ['gw2', 'offline'],
      [''],
    ]);
    expect((await site.run('gateway list --label site=tokyo -o name')).stdout).toBe('gw1\n');
    expect((await site.run('gateway get gw1')).stdout).toContain('Hostname:         gw1.example\n');
    expect(JSON.parse((await site.run('gateway get gw1 -o json')).stdout)).toMatchObject({ kind: 'Gateway' });
  });

  it('labels', async () => {
    site.fake.addGateway('gw1', { site: 'tokyo', old: 'x' });
    const result = await site.run('gateway label gw1 site=osaka old- new=1');
    expect(result).toMatchObject({ code: 0, stderr: 'gateway gw1 labels: new=1,site=osaka\n' });
    expect(await site.run('gateway label gw1')).toMatchObject({ code: 2 });
    expect(await site.run('gateway label gw1 nonsense')).toMatchObject({ code: 2 });
  });

  it('cordons and uncordons', async () => {
    site.fake.addGateway('gw1');
    expect(await site.run('gateway cordon gw1')).toMatchObject({ code: 0 });
    expect((await site.run('gateway list')).stdout).toContain('online, cordoned');
    expect(await site.run('gateway uncordon gw1 gw9')).toMatchObject({ code: 7 });
    expect(site.fake.gateway('gw1').cordoned).toBe(false);
  });

  it('deletes those that carry nothing', async () => {
    site.fake.addGateway('gw1');
    await site.run('forward add web --gateway gw1 --listen 80 --target 192.0.2.1');
    expect(await site.run('gateway delete gw1')).toMatchObject({ code: 5 });
    site.fake.forwards.clear();
    expect(await site.run('gateway delete gw1')).toMatchObject({ code: 0 });
  });
});

describe('gateway set', () => {
  const updates = () => site.fake.requestsOf<UpdateGatewayRequest>('UpdateGateway').map((r) => r.updateMask?.paths);

  it('changes what the flags name, and says what holds now', async () => {
    site.fake.addGateway('gw1');
    const flags = '--drift report --resolver 10.0.0.2 --resolver [2001:db8::53]:5353 --dns-min-ttl 10s --dns-max-ttl 1m';
    expect(await site.run(`gateway set gw1 ${flags}`)).toEqual({
      code: 0,
      stdout: '',
      stderr: 'gateway gw1 changed: drift report; DNS of 10.0.0.2:53, [2001:db8::53]:5353, TTL 10s to 1m\n',
    });
    expect(site.fake.gateway('gw1').settings).toMatchObject({
      driftPolicy: DriftPolicy.REPORT,
      resolvers: ['10.0.0.2:53', '[2001:db8::53]:5353'],
      dnsMinTtlSeconds: 10,
      dnsMaxTtlSeconds: 60,
    });
    expect((await site.run('gateway get gw1')).stdout).toContain('On drift:         report\n');
    expect(await site.run('gateway set gw1 --host-resolvers --dns-max-ttl default')).toMatchObject({
      code: 0,
      stderr: 'gateway gw1 changed: drift report; DNS of the host, TTL 10s to 5m\n',
    });
    expect(updates().at(-1)).toEqual(['settings.resolvers', 'settings.dns_max_ttl_seconds']);
    expect(await site.run('gateway set gw1 --drift repair --dry-run -o name')).toMatchObject({ code: 0, stdout: 'gw1\n' });
    expect(site.fake.gateway('gw1').settings?.driftPolicy).toBe(DriftPolicy.REPORT);
    // The floor may stand lower than its default.
    expect(await site.run('gateway set gw1 --dns-max-ttl 3s')).toMatchObject({ code: 0 });
    expect(await site.run('gateway set gw1 --etag g0 --drift repair')).toMatchObject({ code: 5 });
  });

  it.each([
    ['', 'nothing to change'],
    ['--drift leave', '--drift: "leave" is not a drift policy; use repair or report'],
    ['--resolver dns.example.net', '--resolver: "dns.example.net" is not a DNS server'],
    ['--resolver 10.0.0.2 --host-resolvers', '--host-resolvers: contradicts --resolver'],
    ['--dns-min-ttl 1500ms', '--dns-min-ttl: "1500ms" is not whole seconds'],
    ['--dns-min-ttl 2h', '--dns-min-ttl: 7200 is not a floor'],
    ['--dns-min-ttl 1m --dns-max-ttl 5s', '--dns-max-ttl: 5 is below the floor of 60'],
  ])('refuses "%s" with exit code 2 and sends nothing', async (flags, why) => {
    site.fake.addGateway('gw1');
    const before = site.fake.server.calls.length;
    const result = await site.run(`gateway set gw1 ${flags}`);
    expect(result.stderr).toContain(why);
    expect(result.code).toBe(2);
    expect(site.fake.server.calls).toHaveLength(before);
  });
});

describe('gateway allow-removal', () => {
  const allowed = () => site.fake.requestsOf<AllowMassRemovalRequest>('AllowMassRemoval').map((r) => [r.name, r.revision]);

  it('speaks of the revision that the agent holds back, and of no other', async () => {
    const gateway = site.fake.addGateway('gw1');
    gateway.status!.revision = 17n;
    const nothing = await site.run('gateway allow-removal gw1');
    expect(nothing).toMatchObject({ code: 5, stderr: expect.stringContaining('holds nothing back') });
    expect(allowed()).toEqual([]);
    gateway.status!.conditions = [
      create(ConditionSchema, { type: 'DesiredStateAccepted', status: ConditionStatus.FALSE, reason: 'PENDING_MASS_DELETE' }),
    ];
    expect(await site.run('gateway allow-removal gw1')).toEqual({
      code: 0,
      stdout: '',
      stderr: 'gateway gw1 may remove what revision 17 removes\n',
    });
    expect(await site.run('gateway allow-removal gw1 --revision 0')).toMatchObject({ code: 0 });
    expect(await site.run('gateway allow-removal gw1 --revision x')).toMatchObject({ code: 2 });
    expect(allowed()).toEqual([
      ['gw1', 17n],
      ['gw1', 0n],
    ]);
  });
});

describe('status and events', () => {
  it('names what somebody should look at', async () => {
    site.fake.addGateway('gw1');
    site.fake.addGateway('gw2').status!.connected = false;
    await site.run('forward add good --gateway gw1 --listen 80 --target 192.0.2.1');
    await site.run('forward add bad --gateway gw1 --listen 81 --target 192.0.2.1');
    site.fake.agentSays('good', 'gw1', { state: PlacementState.ACTIVE });
    site.fake.agentSays('bad', 'gw1', { state: PlacementState.REJECTED });
    const { stdout, code } = await site.run('status');
    expect(code).toBe(0);
    expect(stdout).toContain('Gateways:         1 of 2 online\n');
    expect(stdout).toContain('Placements:       1 ACTIVE, 1 REJECTED\n');
    expect(stdout).toContain('Gateways to look at:\n  gw2   offline\n');
    expect(stdout).toContain('Forwards to look at:\n  bad   REJECTED\n');
    expect(stdout).not.toContain('Egresses to look at');
    await site.run('egress add out --gateway gw1 --source 10.0.0.0/8 --out-interface eth0');
    site.fake.egresses.agentSays('out', { state: PlacementState.DEGRADED });
    expect((await site.run('status')).stdout).toContain('Egresses to look at:\n  out   DEGRADED\n');
    expect(JSON.parse((await site.run('status -o json')).stdout)).toMatchObject({ kind: 'Status', gateways: 2 });
  });

  it('lists events, the newest hundred unless told otherwise', async () => {
    for (let i = 0; i < 120; i++)
      site.fake.events.push(
        create(EventSchema, {
          uid: `u${i}`,
          time: timestampFromMs(Date.UTC(2026, 0, 2)),
          gateway: i % 2 ? 'gw1' : 'gw2',
          forward: 'web',
          reason: 'DRIFT_REPAIRED',
          message: 'nat/GWCTL-DISP was flushed',
          drift: { cause: DriftCause.MISSING, object: 'nat/GWCTL-DISP' },
        }),
      );
    const newest = await site.run('events');
    expect(newest.stdout.trimEnd().split('\n')).toHaveLength(101);
    expect(newest.stderr).toContain('these are the newest 100');
    expect((await site.run('events --limit 0 -o name')).stdout.trimEnd().split('\n')).toHaveLength(120);
    expect((await site.run('events --gateway gw1 -o name')).stdout.trimEnd().split('\n')).toHaveLength(60);
    expect((await site.run('events --limit 1 --no-headers -o wide')).stdout).toContain('missing   nat/GWCTL-DISP');
    expect((await site.run('events --forward other')).stderr).toBe('no events match\n');
    site.fake.events.push(create(EventSchema, { uid: 'e', gateway: 'gw1', egress: 'out', reason: 'DRIFT_REPAIRED' }));
    expect((await site.run('events --egress out --no-headers')).stdout).toContain('gw1   egress out   DRIFT_REPAIRED');
    expect(await site.run('events --egress out --forward web')).toMatchObject({ code: 2 });
  });
});

describe('the rest', () => {
  it('prints the version without a config file', async () => {
    const fresh = await Sandbox.make();
    expect((await fresh.run('version')).stdout).toMatch(/^gwctl \d+\.\d+\.\d+\n$/);
    expect((await fresh.run('--version')).code).toBe(0);
    expect(JSON.parse((await fresh.run('version -o json')).stdout)).toHaveProperty('version');
    await fresh.remove();
  });

  it.each([
    ['', 0, 'Commands:'],
    ['--help', 0, 'Commands:'],
    ['help forward add', 0, 'gwctl forward add NAME'],
    ['forward', 0, 'extend'],
    ['forward add --help', 0, 'Examples:'],
  ])('"%s" is help', async (words, code, text) => {
    const result = await site.run(words);
    expect(result).toMatchObject({ code, stderr: '' });
    expect(result.stdout).toContain(text);
  });

  it.each([
    ['forwrd list', 'did you mean gwctl forward?'],
    ['forward lst', 'did you mean gwctl forward list?'],
    ['apply', 'gwctl knows: login, context'],
    ['--nonsense', '--nonsense stands where gwctl wants a command'],
    ['version -o table extra', '"extra": is one word too many'],
    ['login -o json', '-o: is not a flag of this command'],
  ])('"%s" is refused: %s', async (words, why) => {
    const result = await site.run(words);
    expect(result).toMatchObject({ code: 2, stdout: '' });
    expect(result.stderr).toContain(why);
  });

  it('completes names', async () => {
    site.fake.addGateway('gw1');
    site.fake.addGateway('gw2');
    expect((await site.run(['__complete', '--', 'gateway', 'get', 'gw'])).stdout).toBe('gw1\t\ngw2\t\n');
    expect((await site.run(['__complete', '--', 'login', '--ca', ''])).stdout).toBe(':files\n');
    expect((await site.run(['__complete', '--', 'ver'])).stdout).toBe('version\tPrint the version of gwctl\n');
  });
});
