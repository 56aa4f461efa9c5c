import { create } from '@bufbuild/protobuf';
import type { UpdateForwardRequest } from '@gwctl/proto/gwctl/v1/forward_pb';
import { ConditionSchema, ConditionStatus, PlacementState, Protocol, ProxyProtocol } from '@gwctl/proto/gwctl/v1/types_pb';
import { AppError } from '@gwctl/shared/errors/app-error';
import { beforeEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { ADD } from '../../testing/run.js';
import { useControlPlane } from '../../testing/use-control-plane.js';

const site = useControlPlane({ gw1: { site: 'tokyo' } });

describe('forward set', () => {
  beforeEach(async () => {
    await site.run(`${ADD} --interface eth0 --allow 203.0.113.0/24 --owner o --label team=web --label old=x --expires 8h`);
    site.fake.server.calls.length = 0;
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
    expect(await site.run(`forward set web ${flags}`)).toMatchObject({ code: 0 });
    const { updateMask, forward } = site.fake.lastRequest<UpdateForwardRequest>('UpdateForward');
    expect([...(updateMask?.paths ?? [])].sort()).toEqual([...paths].sort());
    expect(forward?.etag).toBe('');
    expect(site.fake.server.calls.map((c) => c.method)).toEqual(['UpdateForward']);
  });

  it('leaves alone what is not named', async () => {
    await site.run('forward set web --listen 9090/udp');
    expect(site.fake.forward('web').spec).toMatchObject({
      listen: { address: '', interface: 'eth0', protocol: Protocol.UDP },
      owner: 'o',
      allowSources: ['203.0.113.0/24'],
    });
  });

  it('changes one option of the relay and resets another', async () => {
    const relay = () => site.fake.forward('web').spec?.relay;
    await site.run('forward set web --proxy-protocol v1 --connect-timeout 9s --max-connections 7');
    await site.run('forward set web --connect-timeout default --max-connections-per-client 3');
    expect(relay()).toMatchObject({
      proxyProtocol: ProxyProtocol.V1,
      connectTimeoutSeconds: 0,
      maxConnections: 7,
      maxConnectionsPerClient: 3,
    });
    const { stdout } = await site.run('forward get web');
    expect(stdout).toContain('PROXY protocol:   v1\n');
    expect(stdout).toContain('Connections:      at most 7, 3 of each client address\n');
    expect(parse((await site.run('forward get web -o yaml')).stdout).spec.relay).toEqual({
      proxyProtocol: 'v1',
      maxConnections: 7,
      maxConnectionsPerClient: 3,
    });
    await site.run('forward set web --proxy-protocol none --max-connections none --max-connections-per-client none');
    expect((await site.run('forward get web')).stdout).not.toMatch(/PROXY|Connections|time-out/);
  });

  it('says what carries it and why', async () => {
    const message = 'the relay carries it: 127.0.0.1 is a loopback address, to which the kernel forwards nothing';
    site.fake.agentSays('web', 'gw1', {
      state: PlacementState.ACTIVE,
      driver: 'relay',
      conditions: [create(ConditionSchema, { type: 'Carrier', status: ConditionStatus.TRUE, reason: 'RELAY_NEEDED', message })],
    });
    const { stdout } = await site.run('forward get web');
    expect(stdout).toContain(`  Driver:         relay\n                  ${message}\n`);
    expect((await site.run('forward list -o wide')).stdout).toMatch(/ relay /);
  });

  it('sets and removes single labels under the etag that it read', async () => {
    expect(await site.run('forward set web --label team=db --label old-')).toMatchObject({ code: 0 });
    expect(site.fake.forward('web').labels).toEqual({ team: 'db' });
    expect(site.fake.lastRequest<UpdateForwardRequest>('UpdateForward').forward?.etag).toBe('e1');
  });

  it('merges labels anew when somebody was faster, and gives up after a while', async () => {
    const stale = { fails: new AppError({ code: 'ABORTED', reason: 'STALE_ETAG', message: 'stale' }) };
    site.fake.server.answerNext('UpdateForward', stale);
    expect(await site.run('forward set web --label a=1')).toMatchObject({ code: 0 });
    for (let i = 0; i < 3; i++) site.fake.server.answerNext('UpdateForward', stale);
    expect(await site.run('forward set web --label a=2')).toMatchObject({ code: 5 });
  });

  it('keeps to the etag that was given', async () => {
    expect(await site.run('forward set web --etag e0 --owner x')).toMatchObject({ code: 5 });
    expect(await site.run('forward set web --etag e0 --label a=1')).toMatchObject({ code: 5 });
    expect(await site.run('forward set web --etag e1 --owner x')).toMatchObject({ code: 0 });
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
    const result = await site.run(`forward set web ${flags}`);
    expect(result.code).toBe(2);
    expect(result.stderr).toContain(why);
    expect(site.fake.server.calls).toEqual([]);
  });
});

describe('forward extend', () => {
  it('only ever makes the end later', async () => {
    await site.run(`${ADD} --expires 8h`);
    const result = await site.run('forward extend web --expires 1d');
    expect(result).toMatchObject({ code: 0 });
    expect(result.stderr).toBe('forward web expires at 2026-01-03T12:00:00Z (was 2026-01-02T20:00:00Z)\n');
    expect(site.fake.lastRequest<UpdateForwardRequest>('UpdateForward').forward?.etag).toBe('e1');
    expect(await site.run('forward extend web --expires 1h')).toMatchObject({ code: 5 });
  });

  it('has nothing to extend where nothing expires', async () => {
    await site.run(ADD);
    expect(await site.run('forward extend web --expires 1h')).toMatchObject({ code: 5 });
  });
});
