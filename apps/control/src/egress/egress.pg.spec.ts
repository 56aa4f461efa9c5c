import type { MessageInitShape } from '@bufbuild/protobuf';
import { type EgressSchema, EgressService } from '@gwctl/proto/gwctl/v1/egress_pb';
import { EventService } from '@gwctl/proto/gwctl/v1/event_pb';
import { ForwardService } from '@gwctl/proto/gwctl/v1/forward_pb';
import { GatewayService } from '@gwctl/proto/gwctl/v1/gateway_pb';
import { PlacementState, SnatMode } from '@gwctl/proto/gwctl/v1/types_pb';
import { describe, expect, it } from 'vitest';
import type { TestControl } from '../testing/control.js';
import { forwardOf } from '../testing/requests.js';
import { useGateways } from '../testing/use-gateways.js';

const { createEgress, getEgress, listEgresses, updateEgress, deleteEgress, watchEgress } = EgressService.method;

type EgressInit = MessageInitShape<typeof EgressSchema>;

const egressOf = (name: string, gateway: string, source: string, spec: object = {}): EgressInit => ({
  name,
  spec: { gateway, sources: [source], outInterface: 'eth0', enabled: true, ...spec },
});

describe('egresses', () => {
  let control: TestControl;
  let gateway = '';
  const { named, counts } = useGateways(
    (both) => {
      ({ control, gateway } = both);
    },
    ['egresses', 'placements', 'egress_sources', 'changes', 'audit_entries', 'request_ids'],
  );

  const create = (egress: EgressInit, more: object = {}) => control.call(createEgress, { egress, ...more });

  it('makes one in canonical form, placed at a revision, with its audit entry', async () => {
    const made = await create({
      ...egressOf(named('a'), gateway, '10.1.0.0/16', {
        sources: ['10.2.0.0/16', '10.1.0.0/16', '10.1.5.0/24'],
        exceptDestinations: ['172.16.0.0/12'],
        owner: 'net',
      }),
      labels: { team: 'net' },
    });
    expect(made).toMatchObject({
      name: named('a'),
      generation: 1n,
      labels: { team: 'net' },
      placement: { gateway, state: PlacementState.UNKNOWN, revision: 1n },
    });
    expect(made.spec).toMatchObject({
      sources: ['10.1.0.0/16', '10.2.0.0/16'],
      exceptDestinations: ['172.16.0.0/12'],
      snat: { mode: SnatMode.MASQUERADE, address: '' },
      owner: 'net',
    });
    expect(await control.call(getEgress, { name: named('a') })).toEqual(made);
    const { rows } = await control.database.sql.query('SELECT * FROM audit_entries WHERE resource = $1', [
      `egress/${named('a')}`,
    ]);
    expect(rows).toMatchObject([{ method: '/gwctl.v1.EgressService/CreateEgress', result: 'OK', before: null }]);
    const { status } = await control.call(GatewayService.method.getGateway, { name: gateway });
    expect(status).toMatchObject({ forwards: 0, egresses: 1, revision: 1n });
  });

  it.each<[string, EgressInit, string]>([
    ['no source', { ...egressOf('x', 'gw-1', '10.0.0.0/8', { sources: [] }) }, 'spec.sources'],
    ['everybody as the source', egressOf('x', 'gw-1', '0.0.0.0/0'), 'spec.sources[0]'],
    ['host bits', egressOf('x', 'gw-1', '10.0.0.1/8'), 'spec.sources[0]'],
    ['no interface', egressOf('x', 'gw-1', '10.0.0.0/8', { outInterface: '' }), 'spec.out_interface'],
    ['an interface with a quote', egressOf('x', 'gw-1', '10.0.0.0/8', { outInterface: 'eth0"' }), 'spec.out_interface'],
    ['no translation', egressOf('x', 'gw-1', '10.0.0.0/8', { snat: { mode: SnatMode.NONE } }), 'spec.snat.mode'],
    ['no gateway', egressOf('x', '', '10.0.0.0/8'), 'spec.gateway'],
    ['a bad name', egressOf('Bad_Name', 'gw-1', '10.0.0.0/8'), 'name'],
    ['a control character', egressOf('x', 'gw-1', '10.0.0.0/8', { description: 'a\u001b[2J' }), 'spec.description'],
    ['no spec', { name: 'x' }, 'spec'],
  ])('refuses %s by field, and changes nothing', async (_, egress, field) => {
    const before = await counts();
    const call = create(egress);
    await expect(call).rejects.toMatchObject({ code: 'INVALID_ARGUMENT', reason: 'INVALID_FIELD' });
    expect((await call.catch((e) => e)).violations.map((v: { field: string }) => v.field)).toContain(field);
    expect(await counts()).toEqual(before);
  });

  it('refuses an unknown gateway, a taken name and a taken source, naming who has it', async () => {
    await create(egressOf(named('a'), gateway, '10.1.0.0/16'));
    const before = await counts();
    await expect(create(egressOf(named('b'), 'nowhere', '10.9.0.0/16'))).rejects.toMatchObject({ reason: 'GATEWAY_NOT_FOUND' });
    await expect(create(egressOf(named('a'), gateway, '10.9.0.0/16'))).rejects.toMatchObject({
      code: 'ALREADY_EXISTS',
      reason: 'NAME_TAKEN',
    });
    for (const source of ['10.1.2.0/24', '10.1.0.0/16', '10.0.0.0/8'])
      await expect(create(egressOf(named('b'), gateway, source))).rejects.toMatchObject({
        code: 'ALREADY_EXISTS',
        reason: 'SOURCE_TAKEN',
        metadata: { egress: named('a'), gateway },
      });
    expect(await counts()).toEqual(before);
    await create(egressOf(named('b'), gateway, '10.1.0.0/16', { outInterface: 'eth1' }));
    await create(egressOf(named('c'), gateway, '10.2.0.0/16'));
    await create(egressOf(named('d'), gateway, '2001:db8::/32'));
  });

  it('only checks where asked to, and answers a repeated request with what the first one made', async () => {
    const before = await counts();
    expect((await create(egressOf(named('dry'), gateway, '10.1.0.0/16'), { validateOnly: true })).name).toBe(named('dry'));
    expect(await counts()).toEqual(before);
    const egress = egressOf(named('a'), gateway, '10.1.0.0/16');
    const all = await Promise.all(Array.from({ length: 6 }, () => create(egress, { requestId: `id-${gateway}` })));
    expect(new Set(all.map((x) => x.uid)).size).toBe(1);
    await expect(create(egressOf(named('dry'), gateway, '10.1.0.0/24'), { validateOnly: true })).rejects.toMatchObject({
      reason: 'SOURCE_TAKEN',
    });
    const other = create(egressOf(named('b'), gateway, '10.2.0.0/16'), { requestId: `id-${gateway}` });
    await expect(other).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  });

  it('changes what the mask names and nothing else, gives sources back, and guards by etag', async () => {
    const made = await create({ ...egressOf(named('a'), gateway, '10.1.0.0/16', { description: 'old' }), labels: { a: 'b' } });
    const update = (egress: EgressInit, ...paths: string[]) =>
      control.call(updateEgress, { egress: { name: named('a'), ...egress }, updateMask: { paths } });
    const moved = await update({ spec: { sources: ['10.2.0.0/16'] } }, 'spec.sources');
    expect(moved.spec).toMatchObject({ ...made.spec, sources: ['10.2.0.0/16'] });
    expect(moved).toMatchObject({ generation: 2n, uid: made.uid, labels: { a: 'b' }, placement: { revision: 2n } });
    await create(egressOf(named('b'), gateway, '10.1.0.0/16'));
    await expect(update({ spec: { sources: ['10.1.1.0/24'] } }, 'spec.sources')).rejects.toMatchObject({
      reason: 'SOURCE_TAKEN',
      metadata: { egress: named('b') },
    });
    // Its own former sources do not stand in its way.
    expect((await update({ spec: { sources: ['10.2.0.0/24'] } }, 'spec.sources')).generation).toBe(3n);
    const labels = await update({}, 'labels');
    expect(labels).toMatchObject({ labels: {}, generation: 3n });
    expect((await update({ spec: { enabled: false } }, 'spec.enabled')).spec?.enabled).toBe(false);
    await expect(update({ etag: made.etag }, 'labels')).rejects.toMatchObject({ code: 'ABORTED', reason: 'ETAG_STALE' });
    await expect(update({}, 'placement')).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    await expect(update({}, 'spec.sources')).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    await expect(control.call(deleteEgress, { name: named('a'), etag: made.etag })).rejects.toMatchObject({ code: 'ABORTED' });
    const { revisions } = await control.call(deleteEgress, { name: named('a') });
    expect(revisions).toMatchObject([{ gateway }]);
    await expect(control.call(getEgress, { name: named('a') })).rejects.toMatchObject({ reason: 'EGRESS_NOT_FOUND' });
    await create(egressOf(named('c'), gateway, '10.2.0.0/16'));
  });

  it('lists in pages, by gateway and labels', async () => {
    for (let i = 0; i < 3; i++)
      await create({ ...egressOf(named(`p${i}`), gateway, `10.${i}.0.0/16`), labels: { n: String(i % 2) } });
    const first = await control.call(listEgresses, { gateway, pageSize: 2 });
    const second = await control.call(listEgresses, { gateway, pageSize: 2, pageToken: first.nextPageToken });
    expect([...first.egresses, ...second.egresses].map((e) => e.name)).toEqual([0, 1, 2].map((i) => named(`p${i}`)));
    expect(second.nextPageToken).toBe('');
    expect((await control.call(listEgresses, { gateway, labels: { n: '1' } })).egresses).toHaveLength(1);
  });

  it('keep their gateway from being deleted, are counted with forwards, and may share a name with one', async () => {
    await create(egressOf(named('same'), gateway, '10.1.0.0/16'));
    await control.call(ForwardService.method.createForward, { forward: forwardOf(named('same'), gateway, 80) });
    const refused = control.call(GatewayService.method.deleteGateway, { name: gateway });
    await expect(refused).rejects.toMatchObject({
      reason: 'GATEWAY_IN_USE',
      metadata: { forwards: named('same'), egresses: named('same') },
    });
    await control.database.sql.query(
      'UPDATE desired_states d SET entries = 50000 FROM gateways g WHERE g.uid = d.gateway_uid AND g.name = $1',
      [gateway],
    );
    const full = { code: 'RESOURCE_EXHAUSTED', reason: 'GATEWAY_FULL' };
    await expect(create(egressOf(named('b'), gateway, '10.2.0.0/16'))).rejects.toMatchObject(full);
    const forward = control.call(ForwardService.method.createForward, { forward: forwardOf(named('b'), gateway, 81) });
    await expect(forward).rejects.toMatchObject(full);
  });

  it('reach the agent beside forwards under one digest, and its word about them comes back', async () => {
    const agent = await control.agent(`${gateway}-a`);
    const forward = await control.call(ForwardService.method.createForward, {
      forward: forwardOf(named('f'), `${gateway}-a`, 80),
    });
    const egress = await create(egressOf(named('e'), `${gateway}-a`, '10.1.0.0/16', { exceptDestinations: ['172.16.0.0/12'] }));
    const session = agent.connect();
    await session.until(() => session.has('snapshotEnd'));
    const [begin] = session.received.flatMap((m) => (m.case === 'snapshotBegin' ? [m.value] : []));
    expect(begin).toMatchObject({ forwards: 2, revision: 2n });
    expect(Buffer.from(begin!.digest)).toEqual(Buffer.from(session.digest));
    expect(session.egress(egress.uid)).toMatchObject({
      uid: egress.uid,
      generation: 1n,
      name: named('e'),
      sources: ['10.1.0.0/16'],
      outInterface: 'eth0',
      snat: { mode: SnatMode.MASQUERADE },
      exceptDestinations: ['172.16.0.0/12'],
      enabled: true,
    });
    const shown = async () => (await control.call(getEgress, { name: named('e') })).placement;
    const placements = [
      { forwardUid: egress.uid, generation: 1n, state: PlacementState.ACTIVE, driver: 'nftables' },
      { forwardUid: forward.uid, generation: 1n, state: PlacementState.DEGRADED },
    ];
    session.say({ case: 'status', value: { complete: true, placements } });
    await expect.poll(shown).toMatchObject({ state: PlacementState.ACTIVE, driver: 'nftables', observedGeneration: 1n });
    session.say({ case: 'event', value: { forwardUid: egress.uid, reason: 'DRIFT_REPAIRED', message: 'put back' } });
    await expect
      .poll(async () => (await control.call(EventService.method.listEvents, { egress: named('e') })).events)
      .toMatchObject([{ gateway: `${gateway}-a`, forward: '', egress: named('e'), reason: 'DRIFT_REPAIRED' }]);

    await control.call(updateEgress, {
      egress: { name: named('e'), spec: { sources: ['10.2.0.0/16'] } },
      updateMask: { paths: ['spec.sources'] },
    });
    expect(await shown()).toMatchObject({ state: PlacementState.PENDING, observedGeneration: 1n, revision: 3n });
    await session.until(() => session.revision === 3n);
    expect(session.egress(egress.uid)).toMatchObject({ generation: 2n, sources: ['10.2.0.0/16'] });
    await control.call(deleteEgress, { name: named('e') });
    await session.until(() => session.revision === 4n);
    expect([...session.entries.keys()]).toEqual([forward.uid]);
    const last = session.received.flatMap((m) => (m.case === 'change' ? [m.value] : [])).at(-1);
    expect(last).toMatchObject({ removals: [egress.uid], upserts: [] });
    expect(Buffer.from(last!.digest)).toEqual(Buffer.from(session.digest));
    // What it holds is proven right, so it goes on where it was.
    const { held } = session;
    session.leave();
    await session.end();
    const again = agent.connect({}, held);
    await again.until(() => again.has('resume') || again.has('snapshotBegin'));
    expect(again.has('resume')).toBe(true);
  });

  it('watches until it is deleted', async () => {
    await create(egressOf(named('a'), gateway, '10.1.0.0/16'));
    const seen: string[] = [];
    const watching = (async () => {
      for await (const egress of control.watch(watchEgress, { name: named('a') })) seen.push(egress.spec?.description ?? '');
    })();
    await expect.poll(() => seen.length).toBe(1);
    await control.call(updateEgress, {
      egress: { name: named('a'), spec: { description: 'new' } },
      updateMask: { paths: ['spec.description'] },
    });
    await expect.poll(() => seen).toEqual(['', 'new']);
    await control.call(deleteEgress, { name: named('a') });
    await expect(watching).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  it('changes nothing where the audit entry cannot be written', async () => {
    const { sql } = control.database;
    await sql.query("ALTER TABLE audit_entries ADD CONSTRAINT full_disk CHECK (resource <> 'egress/unrecorded')");
    const before = await counts();
    await expect(create(egressOf('unrecorded', gateway, '10.1.0.0/16'))).rejects.toBeDefined();
    expect(await counts()).toEqual(before);
    await sql.query('ALTER TABLE audit_entries DROP CONSTRAINT full_disk');
  });
});
