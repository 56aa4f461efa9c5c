import type { CreateForwardRequest } from '@gwctl/proto/gwctl/v1/forward_pb';
import {
  Affinity,
  DriverChoice,
  HealthCheckMode,
  Helper,
  Protocol,
  ProxyProtocol,
  SnatMode,
} from '@gwctl/proto/gwctl/v1/types_pb';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { ADD } from '../../testing/run.js';
import { useControlPlane } from '../../testing/use-control-plane.js';

const site = useControlPlane({ gw1: { site: 'tokyo' } });

describe('forward add', () => {
  it('sends what the flags say', async () => {
    const result = await site.run([
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
    const { forward, validateOnly, requestId } = site.fake.lastRequest<CreateForwardRequest>('CreateForward');
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
    const result = await site.run(`forward add any --gateway gw1 ${flags}`);
    expect(result).toMatchObject({ code: 0, stderr: `forward any added: ${sentence}\n` });
  });

  it('sends what is asked of the relay, in seconds, and nothing where nothing is asked', async () => {
    const flags =
      '--proxy-protocol v2 --connect-timeout 2s --tcp-idle-timeout 1h30m --max-connections 1000 --max-connections-per-client 10';
    expect(await site.run(`${ADD} --driver relay ${flags}`)).toMatchObject({ code: 0 });
    expect(site.fake.lastRequest<CreateForwardRequest>('CreateForward').forward?.spec).toMatchObject({
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
    expect(await site.run(`${ADD.replace('web', 'plain')} ${none}`)).toMatchObject({ code: 0 });
    expect(site.fake.lastRequest<CreateForwardRequest>('CreateForward').forward?.spec?.relay).toBeUndefined();
  });

  it('places by a selector', async () => {
    expect((await site.run('forward add dns --selector site=tokyo --listen 53/udp --target 198.51.100.53')).code).toBe(0);
    expect(site.fake.lastRequest<CreateForwardRequest>('CreateForward').forward?.spec?.on).toMatchObject({
      case: 'gatewaySelector',
      value: { matchLabels: { site: 'tokyo' } },
    });
  });

  it('changes nothing in a dry run', async () => {
    const result = await site.run(`${ADD} --dry-run -o name`);
    expect(result).toMatchObject({ code: 0, stdout: 'web\n' });
    expect(result.stderr).toContain('would be added (nothing was changed)');
    expect(site.fake.forwards.size).toBe(0);
  });

  it('prints what was made where a format is asked for', async () => {
    const yaml = await site.run(`${ADD} -o yaml`);
    expect(parse(yaml.stdout)).toMatchObject({ kind: 'Forward', metadata: { name: 'web', generation: 1 } });
  });

  it('tells the request id with -v', async () => {
    const result = await site.run(`${ADD} -v`);
    const id = site.fake.server.calls[0]?.requestId;
    expect(id).toBeTruthy();
    expect(result.stderr).toContain(`request ${id} CreateForward: ok after`);
  });
});
