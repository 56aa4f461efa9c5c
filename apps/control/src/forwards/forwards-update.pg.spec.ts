import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { ForwardService } from '@gwctl/proto/gwctl/v1/forward_pb';
import { GatewayService } from '@gwctl/proto/gwctl/v1/gateway_pb';
import { Protocol } from '@gwctl/proto/gwctl/v1/types_pb';
import { describe, expect, it } from 'vitest';
import type { TestControl } from '../testing/control.js';
import { type ForwardInit, forwardOf } from '../testing/requests.js';
import { useForwards } from '../testing/use-forwards.js';

const { getForward, updateForward, deleteForward } = ForwardService.method;

describe('changing forwards', () => {
  let control: TestControl;
  let gateway = '';
  const { create, named } = useForwards((both) => {
    ({ control, gateway } = both);
  });

  it('changes what the mask names and nothing else', async () => {
    const made = await create({ ...forwardOf(named('a'), gateway, 80, { description: 'old', owner: 'me' }), labels: { a: 'b' } });
    const update = (forward: ForwardInit, ...paths: string[]) =>
      control.call(updateForward, { forward: { name: named('a'), ...forward }, updateMask: { paths } });
    const ports = await update({ spec: { listen: { ports: { first: 90, last: 90 } } } }, 'spec.listen.ports');
    expect(ports.spec).toMatchObject({ ...made.spec, listen: { protocol: Protocol.TCP, ports: { first: 90, last: 90 } } });
    expect(ports).toMatchObject({ generation: 2n, uid: made.uid, labels: { a: 'b' } });
    expect(ports.etag).not.toBe(made.etag);
    expect(ports.placements[0]?.revision).toBe(2n);
    const disabled = await update({ spec: { enabled: false } }, 'spec.enabled');
    expect(disabled.spec?.enabled).toBe(false);
    const labels = await update({}, 'labels');
    expect(labels).toMatchObject({ labels: {}, generation: 3n });
    const same = await update({ spec: { description: 'old' } }, 'spec.description');
    expect(same).toMatchObject({ generation: 3n, etag: labels.etag });
    for (const [path, field] of [
      ['uid', 'update_mask'],
      ['spec.nothing', 'update_mask'],
      ['spec.targets', 'spec.targets'],
    ] as const)
      expect((await update({}, path).catch((e) => e)).violations[0].field).toBe(field);
    await expect(update({})).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    const stale = control.call(updateForward, {
      forward: { name: named('a'), etag: made.etag },
      updateMask: { paths: ['labels'] },
    });
    await expect(stale).rejects.toMatchObject({ code: 'ABORTED', reason: 'ETAG_STALE' });
    await expect(control.call(deleteForward, { name: named('a'), etag: made.etag })).rejects.toMatchObject({ code: 'ABORTED' });
  });

  it('lets an expired forward be changed, but not made', async () => {
    const expires = timestampFromMs(Date.now() + 60_000);
    await create(forwardOf(named('a'), gateway, 80, { expires }));
    const past = new Date(Date.now() - 60_000).toISOString();
    await control.database.sql.query(
      "UPDATE forwards SET spec = jsonb_set(spec, '{expires}', to_jsonb($1::text)) WHERE name = $2",
      [past, named('a')],
    );
    const set = (spec: object, path: string) =>
      control.call(updateForward, { forward: { name: named('a'), spec }, updateMask: { paths: [path] } });
    expect((await set({ enabled: false }, 'spec.enabled')).spec?.enabled).toBe(false);
    await expect(set({ expires: timestampFromMs(1_000) }, 'spec.expires')).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect((await set({ expires }, 'spec.expires')).spec?.expires?.seconds).toBe(expires.seconds);
  });

  it('moves to another gateway: gone there, wanted here', async () => {
    const other = `${gateway}-other`;
    await control.call(GatewayService.method.createGateway, { gateway: { name: other } });
    await create(forwardOf(named('a'), gateway, 80));
    const moved = await control.call(updateForward, {
      forward: { name: named('a'), spec: { on: { case: 'gateway', value: other } } },
      updateMask: { paths: ['spec.gateway'] },
    });
    expect(moved.placements).toMatchObject([{ gateway: other, revision: 1n }]);
    const was = await control.call(GatewayService.method.getGateway, { name: gateway });
    expect(was.status).toMatchObject({ revision: 2n, forwards: 0 });
    // The listener is free again where it was.
    await create(forwardOf(named('b'), gateway, 80));
  });

  it('loses no update of many at once', async () => {
    await create(forwardOf(named('a'), gateway, 80));
    await Promise.all(
      Array.from({ length: 10 }, (_, i) =>
        control.call(updateForward, {
          forward: { name: named('a'), spec: { description: `d${i}` } },
          updateMask: { paths: ['spec.description'] },
        }),
      ),
    );
    expect((await control.call(getForward, { name: named('a') })).generation).toBe(11n);
  });
});
