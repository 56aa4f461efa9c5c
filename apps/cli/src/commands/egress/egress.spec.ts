import type { CreateEgressRequest, DeleteEgressRequest, UpdateEgressRequest } from '@gwctl/proto/gwctl/v1/egress_pb';
import { PlacementState, SnatMode } from '@gwctl/proto/gwctl/v1/types_pb';
import { AppError } from '@gwctl/shared/errors/app-error';
import { beforeEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { useControlPlane } from '../../testing/use-control-plane.js';

const site = useControlPlane({ gw1: {} });

const ADD = 'egress add lan-out --gateway gw1 --source 10.0.0.0/16 --out-interface eth0';

describe('egress add', () => {
  it('sends what the flags say', async () => {
    const flags = '--source 10.2.0.5 --except 172.16.0.0/12 --snat 203.0.113.10 --owner net --label team=net'.split(' ');
    const result = await site.run([...ADD.split(' '), ...flags, '--description', 'The office']);
    expect(result).toEqual({
      code: 0,
      stdout: '',
      stderr: 'egress lan-out added: 10.0.0.0/16, 10.2.0.5/32 through eth0 on gw1, as 203.0.113.10\n',
    });
    const { egress, validateOnly, requestId } = site.fake.lastRequest<CreateEgressRequest>('CreateEgress');
    expect({ validateOnly, requestId: requestId !== '' }).toEqual({ validateOnly: false, requestId: true });
    expect(egress).toMatchObject({
      labels: { team: 'net' },
      spec: {
        gateway: 'gw1',
        description: 'The office',
        owner: 'net',
        sources: ['10.0.0.0/16', '10.2.0.5/32'],
        outInterface: 'eth0',
        snat: { mode: SnatMode.ADDRESS, address: '203.0.113.10' },
        exceptDestinations: ['172.16.0.0/12'],
        enabled: true,
      },
    });
  });

  it('changes nothing in a dry run', async () => {
    expect(await site.run(`${ADD} --dry-run -o name`)).toMatchObject({ code: 0, stdout: 'lan-out\n' });
    expect(site.fake.egresses.all.size).toBe(0);
  });

  it.each([
    ['--source 0.0.0.0/0', '--source (number 1): 0.0.0.0/0 is everybody'],
    ['--source 10.0.0.1/16', '--source: "10.0.0.1/16" has host bits set; write 10.0.0.0/16'],
    ['--out-interface a/b', '--out-interface: "a/b" is not an interface name'],
    ['--snat none', '--snat: "none" is not a way to translate; use masquerade, or an address'],
    ['--snat 2001:db8::1', '--snat: 2001:db8::1 is IPv6 but the sources are IPv4'],
    ['--except 2001:db8::/32', '--except (number 1): 2001:db8::/32 is IPv6 but the sources are IPv4'],
    ['--wait --dry-run', '--wait: has nothing to wait for with --dry-run'],
  ])('refuses %j with exit code 2 and sends nothing', async (flags, why) => {
    const base = ADD.split(' ');
    const at = base.indexOf(flags.split(' ')[0]!);
    if (at >= 0) base.splice(at, 2);
    const result = await site.run([...base, ...flags.split(' ')]);
    expect(result.stderr).toContain(why);
    expect(result).toMatchObject({ code: 2, stdout: '' });
    expect(site.fake.server.calls).toEqual([]);
  });

  it.each([
    ['ALREADY_EXISTS', 5],
    ['NOT_FOUND', 3],
    ['RESOURCE_EXHAUSTED', 1],
  ] as const)('ends with the exit code of what the control plane says: %s', async (code, exit) => {
    const violations = [{ field: 'spec.sources', description: 'overlap those of egress other' }];
    site.fake.server.answerNext('CreateEgress', { fails: new AppError({ code, reason: code, message: 'taken', violations }) });
    expect(await site.run(ADD)).toEqual({
      code: exit,
      stdout: '',
      stderr: 'gwctl: taken\n  --source: overlap those of egress other\n',
    });
  });

  it('waits until the agent says that it is in place', async () => {
    const watched = site.fake.server.nextCall('WatchEgress');
    const done = site.run(`${ADD} --wait`);
    await watched;
    site.fake.egresses.agentSays('lan-out', { state: PlacementState.ACTIVE });
    const result = await done;
    expect(result.code).toBe(0);
    expect(result.stderr).toContain('egress lan-out is ACTIVE on gw1 (nftables)');
  });

  it('says why the agent refused it', async () => {
    const watched = site.fake.server.nextCall('WatchEgress');
    const done = site.run(`${ADD} --wait`);
    await watched;
    const violation = {
      $typeName: 'gwctl.v1.FieldViolation',
      field: 'spec.out_interface',
      description: 'there is no eth0',
    } as const;
    site.fake.egresses.agentSays('lan-out', { state: PlacementState.REJECTED, violations: [violation] });
    const result = await done;
    expect(result.code).toBe(1);
    expect(result.stderr).toContain('--out-interface: there is no eth0');
    expect(result.stderr).toContain('gwctl egress set lan-out');
  });
});

describe('egress list, get, set and delete', () => {
  beforeEach(async () => {
    await site.run(`${ADD} --label team=net --except 172.16.0.0/12`);
    await site.run('egress add v6-out --gateway gw1 --source 2001:db8::/48 --out-interface eth0');
    site.fake.server.calls.length = 0;
  });

  it('lists, also by label and by gateway', async () => {
    expect((await site.run('egress list -o name')).stdout).toBe('lan-out\nv6-out\n');
    expect((await site.run('egress list --label team=net -o name')).stdout).toBe('lan-out\n');
    expect(await site.run('egress list --gateway gw9')).toEqual({
      code: 0,
      stdout: '',
      stderr: 'no egresses match; gwctl egress add makes one\n',
    });
    const wide = await site.run('egress list -o wide');
    expect(wide.stdout).toContain('lan-out   gw1       10.0.0.0/16     eth0   masquerade   PENDING');
  });

  it('gives the same object as JSON and YAML, and a description for people', async () => {
    const json = JSON.parse((await site.run('egress get lan-out -o json')).stdout);
    expect(parse((await site.run('egress get lan-out -o yaml')).stdout)).toEqual(json);
    expect(json).toMatchObject({ kind: 'Egress', spec: { sources: ['10.0.0.0/16'], exceptDestinations: ['172.16.0.0/12'] } });
    expect((await site.run('egress get lan-out')).stdout).toContain('On gw1:           PENDING\n');
    expect(await site.run('egress get nothing')).toMatchObject({ code: 3, stdout: '' });
  });

  it.each([
    ['--source 10.0.0.0/15', ['spec.sources']],
    ['--snat 203.0.113.10 --out-interface eth1', ['spec.out_interface', 'spec.snat']],
    ['--no-except --owner= ', ['spec.except_destinations', 'spec.owner']],
    ['--gateway gw1 --except 192.168.0.0/16', ['spec.except_destinations', 'spec.gateway']],
  ])('set %s names %j', async (flags, paths) => {
    expect(await site.run(`egress set lan-out ${flags}`)).toMatchObject({ code: 0 });
    const { updateMask } = site.fake.lastRequest<UpdateEgressRequest>('UpdateEgress');
    expect([...(updateMask?.paths ?? [])].sort()).toEqual(paths);
  });

  it('set merges labels under the etag that it read, and leaves alone what is not named', async () => {
    expect(await site.run('egress set lan-out --label team- --label site=a')).toMatchObject({ code: 0 });
    expect(site.fake.lastRequest<UpdateEgressRequest>('UpdateEgress').egress?.etag).toBe('e1');
    expect(site.fake.egresses.get('lan-out')).toMatchObject({ labels: { site: 'a' }, spec: { sources: ['10.0.0.0/16'] } });
    expect(await site.run('egress set lan-out --etag e0 --owner x')).toMatchObject({ code: 5 });
    expect(await site.run('egress set lan-out')).toMatchObject({ code: 2 });
    expect(await site.run('egress set lan-out --no-except --except 10.9.0.0/16')).toMatchObject({ code: 2 });
    // An IPv6 part alone is nothing wrong: the whole is the control plane's to judge.
    expect(await site.run('egress set v6-out --except 2001:db8:9::/48')).toMatchObject({ code: 0 });
  });

  it('is disabled, enabled and deleted, several at once', async () => {
    expect(await site.run('egress disable lan-out v6-out')).toMatchObject({
      code: 0,
      stderr: 'egress lan-out disabled\negress v6-out disabled\n',
    });
    expect(site.fake.egresses.get('v6-out').spec?.enabled).toBe(false);
    expect(await site.run('egress enable lan-out')).toMatchObject({ code: 0 });
    expect(await site.run('egress delete lan-out --dry-run')).toMatchObject({ code: 0 });
    expect(site.fake.lastRequest<DeleteEgressRequest>('DeleteEgress').validateOnly).toBe(true);
    expect(await site.run('egress delete lan-out missing')).toMatchObject({ code: 7 });
    expect(site.fake.egresses.all.has('lan-out')).toBe(false);
  });

  it('waits until a deleted one is gone', async () => {
    const watched = site.fake.server.nextCall('WatchGateway');
    const done = site.run('egress delete lan-out --wait');
    await watched;
    site.fake.agentApplied('gw1', 3);
    expect(await done).toMatchObject({ code: 0, stderr: expect.stringContaining('egress lan-out is gone from gw1') });
  });
});
