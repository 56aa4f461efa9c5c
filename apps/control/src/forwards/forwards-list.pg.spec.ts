import { ForwardService } from '@gwctl/proto/gwctl/v1/forward_pb';
import { PlacementState } from '@gwctl/proto/gwctl/v1/types_pb';
import { describe, expect, it } from 'vitest';
import type { TestControl } from '../testing/control.js';
import { forwardOf } from '../testing/requests.js';
import { useForwards } from '../testing/use-forwards.js';

const { listForwards, updateForward, deleteForward, watchForward } = ForwardService.method;

describe('listing and watching forwards', () => {
  let control: TestControl;
  let gateway = '';
  const { create, named } = useForwards((both) => {
    ({ control, gateway } = both);
  });

  it('lists in pages, by filter, and refuses the token of another filter', async () => {
    for (let i = 0; i < 5; i++)
      await create({
        ...forwardOf(named(`p${i}`), gateway, 100 + i, { owner: i < 2 ? 'me' : '' }),
        labels: { n: String(i % 2) },
      });
    const filter = { gateway };
    const names: string[] = [];
    let pageToken = '';
    do {
      const page = await control.call(listForwards, { pageSize: 2, pageToken, filter });
      names.push(...page.forwards.map((f) => f.name));
      expect(page.forwards.length).toBeLessThanOrEqual(2);
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
    expect(names).toEqual([0, 1, 2, 3, 4].map((i) => named(`p${i}`)));
    const count = async (more: object) => (await control.call(listForwards, { filter: { gateway, ...more } })).forwards.length;
    expect(await count({ labels: { n: '1' } })).toBe(2);
    expect(await count({ owner: 'me' })).toBe(2);
    expect(await count({ state: PlacementState.UNKNOWN })).toBe(5);
    expect(await count({ state: PlacementState.ACTIVE })).toBe(0);
    const first = await control.call(listForwards, { pageSize: 1, filter });
    const wrong = control.call(listForwards, { pageSize: 1, pageToken: first.nextPageToken, filter: { owner: 'me' } });
    await expect(wrong).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    await expect(control.call(listForwards, { pageToken: 'x' })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    await expect(control.call(listForwards, { pageSize: 1001 })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  });

  it('watches until it is deleted', async () => {
    await create(forwardOf(named('a'), gateway, 80));
    const seen: string[] = [];
    const watching = (async () => {
      for await (const forward of control.watch(watchForward, { name: named('a') })) seen.push(forward.spec?.description ?? '');
    })();
    await expect.poll(() => seen.length).toBe(1);
    await control.call(updateForward, {
      forward: { name: named('a'), spec: { description: 'new' } },
      updateMask: { paths: ['spec.description'] },
    });
    await expect.poll(() => seen).toEqual(['', 'new']);
    const { revisions } = await control.call(deleteForward, { name: named('a') });
    expect(revisions).toMatchObject([{ gateway, revision: 3n }]);
    await expect(watching).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });
});
