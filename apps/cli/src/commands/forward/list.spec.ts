import type { ListForwardsRequest } from '@gwctl/proto/gwctl/v1/forward_pb';
import { PlacementState } from '@gwctl/proto/gwctl/v1/types_pb';
import { beforeEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { useControlPlane } from '../../testing/use-control-plane.js';

const site = useControlPlane({ gw1: { site: 'tokyo' } });

describe('forward list and get', () => {
  beforeEach(async () => {
    for (const name of ['a', 'b', 'c', 'd', 'e'])
      await site.run(
        `forward add ${name} --gateway gw1 --listen ${8000 + name.charCodeAt(0)} --target 198.51.100.2:80 --label n=${name}`,
      );
    site.fake.server.calls.length = 0;
  });

  it('reads every page', async () => {
    site.fake.pageSize = 2;
    const result = await site.run('forward list -o name');
    expect(result).toEqual({ code: 0, stdout: 'a\nb\nc\nd\ne\n', stderr: '' });
    expect(site.fake.requestsOf<ListForwardsRequest>('ListForwards').map((r) => r.pageToken)).toEqual(['', '2', '4']);
  });

  it('stops at the limit, and says that there is more', async () => {
    site.fake.pageSize = 2;
    const result = await site.run('forward list -o name --limit 2');
    expect(result.stdout).toBe('a\nb\n');
    expect(result.stderr).toContain('there are more than 2');
    const all = await site.run('forward list -o name --limit 5');
    expect(all).toMatchObject({ stdout: 'a\nb\nc\nd\ne\n', stderr: '' });
  });

  it('filters', async () => {
    site.fake.agentSays('b', 'gw1', { state: PlacementState.REJECTED });
    expect((await site.run('forward list --state rejected -o name')).stdout).toBe('b\n');
    expect((await site.run('forward list --label n=c -o name')).stdout).toBe('c\n');
    expect((await site.run('forward list --gateway gw9 -o name')).stdout).toBe('');
  });

  it('says that a list is empty on standard error', async () => {
    const result = await site.run('forward list --owner nobody');
    expect(result).toEqual({ code: 0, stdout: '', stderr: 'no forwards match; gwctl forward add makes one\n' });
    expect(JSON.parse((await site.run('forward list --owner nobody -o json')).stdout)).toEqual({
      apiVersion: 'gwctl/v1',
      kind: 'ForwardList',
      items: [],
    });
  });

  it('prints one YAML document for each', async () => {
    const { stdout } = await site.run('forward list -o yaml');
    expect(stdout.split('---\n').map((d) => parse(d).metadata.name)).toEqual(['a', 'b', 'c', 'd', 'e']);
  });

  it('gives the same object as JSON and YAML, and a description for people', async () => {
    const json = JSON.parse((await site.run('forward get a -o json')).stdout);
    expect(parse((await site.run('forward get a -o yaml')).stdout)).toEqual(json);
    expect(json).toMatchObject({ apiVersion: 'gwctl/v1', kind: 'Forward', metadata: { name: 'a' } });
    const people = await site.run('forward get a');
    expect(people.stdout).toContain('Name:             a\n');
    expect(people.stdout).toContain('On gw1:           PENDING\n');
  });

  it('escapes what agents say', async () => {
    site.fake.agentSays('a', 'gw1', { state: PlacementState.ACTIVE, driver: 'x\u001b[2J', clientAddress: 'y\u009b0m' });
    for (const format of ['', '-o wide', '-o json', '-o yaml']) {
      const { stdout } = await site.run(`forward get a ${format}`);
      expect(stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
    }
  });

  it('ends with 3 for one that is not there', async () => {
    expect(await site.run('forward get nothing')).toMatchObject({ code: 3, stdout: '' });
  });
});
