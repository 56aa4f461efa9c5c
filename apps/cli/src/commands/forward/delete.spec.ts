import type { DeleteForwardRequest, UpdateForwardRequest } from '@gwctl/proto/gwctl/v1/forward_pb';
import { beforeEach, describe, expect, it } from 'vitest';
import { ADD } from '../../testing/run.js';
import { useControlPlane } from '../../testing/use-control-plane.js';

const site = useControlPlane({ gw1: { site: 'tokyo' } });

describe('several at once', () => {
  beforeEach(async () => {
    for (const name of ['a', 'b']) await site.run(ADD.replace('web', name));
    site.fake.server.calls.length = 0;
  });

  it('deletes all that it can and ends with 7', async () => {
    const result = await site.run('forward delete a missing b');
    expect(result.code).toBe(7);
    expect(result.stderr).toContain('there is no forward missing');
    expect(result.stderr).toContain('2 of 3 done; failed: missing');
    expect(site.fake.forwards.size).toBe(0);
  });

  it('ends with the kind of the first failure where nothing was done', async () => {
    expect(await site.run('forward delete x y')).toMatchObject({ code: 3 });
  });

  it('deletes under an etag one at a time only', async () => {
    expect(await site.run('forward delete a b --etag e1')).toMatchObject({ code: 2 });
    expect(await site.run('forward delete a --etag e9')).toMatchObject({ code: 5 });
    expect(await site.run('forward delete a --etag e1')).toMatchObject({ code: 0 });
    expect(site.fake.lastRequest<DeleteForwardRequest>('DeleteForward').etag).toBe('e1');
  });

  it('deletes nothing in a dry run', async () => {
    expect(await site.run('forward delete a --dry-run')).toMatchObject({ code: 0 });
    expect(site.fake.lastRequest<DeleteForwardRequest>('DeleteForward').validateOnly).toBe(true);
    expect(site.fake.forwards.size).toBe(2);
  });

  it('disables and enables', async () => {
    expect(await site.run('forward disable a b')).toMatchObject({
      code: 0,
      stderr: 'forward a disabled\nforward b disabled\n',
    });
    expect(site.fake.forward('b').spec?.enabled).toBe(false);
    expect(await site.run('forward enable a')).toMatchObject({ code: 0 });
    expect(site.fake.lastRequest<UpdateForwardRequest>('UpdateForward').updateMask?.paths).toEqual(['spec.enabled']);
    expect(site.fake.forward('a').spec?.enabled).toBe(true);
  });
});
