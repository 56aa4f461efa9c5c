import { EnrolService } from '@gwctl/proto/gwctl/agent/v1/agent_pb';
import { EventService } from '@gwctl/proto/gwctl/v1/event_pb';
import { ForwardService } from '@gwctl/proto/gwctl/v1/forward_pb';
import { GatewayService } from '@gwctl/proto/gwctl/v1/gateway_pb';
import { SystemService } from '@gwctl/proto/gwctl/v1/system_pb';
import { DriftPolicy } from '@gwctl/proto/gwctl/v1/types_pb';
import { unary } from '@gwctl/shared/grpc/client';
import { parseJoinString } from '@gwctl/shared/wire/join-string';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startControl, type TestControl } from '../testing/control.js';
import { makeKeyAndRequest } from '../testing/fake-agent.js';
import { forwardOf } from '../testing/requests.js';

const { createGateway, getGateway, listGateways, updateGateway, deleteGateway, createJoinToken, watchGateway } =
  GatewayService.method;

describe('gateways', () => {
  let control: TestControl;
  beforeAll(async () => {
    control = await startControl();
  });
  afterAll(() => control.close());

  const create = (name: string, labels = {}) => control.call(createGateway, { gateway: { name, labels } });

  it('are made, listed by label in pages, changed and deleted', async () => {
    const made = await create('g1', { site: 'tokyo' });
    expect(made.status).toMatchObject({ connected: false, enrolled: false, revision: 0n, forwards: 0 });
    await create('g2', { site: 'osaka' });
    await create('g3', { site: 'tokyo' });
    const tokyo = await control.call(listGateways, { labels: { site: 'tokyo' }, pageSize: 1 });
    expect(tokyo.gateways.map((g) => g.name)).toEqual(['g1']);
    const next = await control.call(listGateways, { labels: { site: 'tokyo' }, pageSize: 1, pageToken: tokyo.nextPageToken });
    expect([next.gateways.map((g) => g.name), next.nextPageToken]).toEqual([['g3'], '']);
    const cordoned = await control.call(updateGateway, {
      gateway: { name: 'g1', cordoned: true },
      updateMask: { paths: ['cordoned'] },
    });
    expect(cordoned).toMatchObject({ cordoned: true, labels: { site: 'tokyo' } });
    const stale = control.call(updateGateway, { gateway: { name: 'g1', etag: made.etag }, updateMask: { paths: ['labels'] } });
    await expect(stale).rejects.toMatchObject({ code: 'ABORTED', reason: 'ETAG_STALE' });
    await expect(control.call(updateGateway, { gateway: { name: 'g1' }, updateMask: { paths: ['name'] } })).rejects.toMatchObject(
      { code: 'INVALID_ARGUMENT' },
    );
    await control.call(deleteGateway, { name: 'g1' });
    await expect(control.call(getGateway, { name: 'g1' })).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(create('g2')).rejects.toMatchObject({ code: 'ALREADY_EXISTS', reason: 'NAME_TAKEN' });
    await expect(create('Bad')).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  });

  it('have settings, which reach the agent only while they differ from the defaults', async () => {
    const agent = await control.agent('set');
    const session = agent.connect();
    await session.until(() => session.has('snapshotEnd'));
    const defaults = { driftPolicy: DriftPolicy.REPAIR, resolvers: [], dnsMinTtlSeconds: 5, dnsMaxTtlSeconds: 300 };
    expect((await control.call(getGateway, { name: 'set' })).settings).toMatchObject(defaults);
    const update = (settings: object, ...paths: string[]) =>
      control.call(updateGateway, { gateway: { name: 'set', settings }, updateMask: { paths } });
    const changed = await update({ driftPolicy: DriftPolicy.REPORT, dnsMinTtlSeconds: 99 }, 'settings.drift_policy');
    expect(changed.settings).toMatchObject({ ...defaults, driftPolicy: DriftPolicy.REPORT });
    expect(changed.status).toMatchObject({ revision: 1n, forwards: 0, egresses: 0 });
    await session.until(() => session.revision === 1n);
    expect(session.settings(agent.gatewayUid)).toMatchObject({ ...defaults, driftPolicy: DriftPolicy.REPORT });
    await update(
      { resolvers: ['10.0.0.2', '2001:db8::53'], dnsMaxTtlSeconds: 60 },
      'settings.resolvers',
      'settings.dns_max_ttl_seconds',
    );
    await session.until(() => session.revision === 2n);
    expect(session.settings(agent.gatewayUid)).toMatchObject({
      driftPolicy: DriftPolicy.REPORT,
      resolvers: ['10.0.0.2:53', '[2001:db8::53]:53'],
      dnsMaxTtlSeconds: 60,
    });
    // Labels are nothing that the agent is told.
    const labelled = await control.call(updateGateway, {
      gateway: { name: 'set', labels: { a: 'b' } },
      updateMask: { paths: ['labels'] },
    });
    expect(labelled).toMatchObject({ status: { revision: 2n }, settings: { resolvers: ['10.0.0.2:53', '[2001:db8::53]:53'] } });
    const { rows } = await control.database.sql.query(
      "SELECT after FROM audit_entries WHERE resource = 'gateway/set' ORDER BY time DESC",
    );
    expect(rows[0].after.settings).toMatchObject({ dnsMaxTtlSeconds: 60 });
    const again = agent.connect({}, session.held);
    await again.until(() => again.has('resume'));
    const back = await update({}, 'settings');
    expect(back.settings).toMatchObject(defaults);
    await again.until(() => again.revision === 3n);
    expect(again.entries.size).toBe(0);
    expect(again.received.findLast((m) => m.case === 'change')?.value).toMatchObject({
      removals: [agent.gatewayUid],
      upserts: [],
    });
    expect(Buffer.from(again.digest)).toEqual(Buffer.alloc(32));
  });

  it.each([
    ['settings.resolvers', { resolvers: ['dns.example.net'] }, 'settings.resolvers[0]'],
    ['settings.dns_min_ttl_seconds', { dnsMinTtlSeconds: 3601 }, 'settings.dns_min_ttl_seconds'],
    ['settings.dns_max_ttl_seconds', { dnsMaxTtlSeconds: 4 }, 'settings.dns_max_ttl_seconds'],
    ['settings.drift_policy', { driftPolicy: 9 as DriftPolicy }, 'settings.drift_policy'],
    ['settings.nothing', {}, 'update_mask'],
  ])('refuse a bad %s by field', async (path, settings, field) => {
    await control.call(createGateway, { gateway: { name: 'strict' } }).catch(() => undefined);
    const call = control.call(updateGateway, { gateway: { name: 'strict', settings }, updateMask: { paths: [path] } });
    await expect(call).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect((await call.catch((e) => e)).violations[0].field).toBe(field);
  });

  it('may be made with settings, and are deleted with them', async () => {
    const made = await control.call(createGateway, { gateway: { name: 'made', settings: { driftPolicy: DriftPolicy.REPORT } } });
    expect(made).toMatchObject({ settings: { driftPolicy: DriftPolicy.REPORT }, status: { revision: 1n, egresses: 0 } });
    await control.call(deleteGateway, { name: 'made' });
    await expect(control.call(getGateway, { name: 'made' })).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  it('are not deleted while they carry forwards, which are named', async () => {
    await create('used');
    await control.call(ForwardService.method.createForward, { forward: forwardOf('user', 'used', 80) });
    const refused = control.call(deleteGateway, { name: 'used' });
    await expect(refused).rejects.toMatchObject({ code: 'FAILED_PRECONDITION', reason: 'GATEWAY_IN_USE' });
    expect((await refused.catch((e) => e)).message).toContain('user');
  });

  it('show in a watch that the agent came and went', async () => {
    const agent = await control.agent('watched');
    const seen: boolean[] = [];
    const end = new AbortController();
    const watching = (async () => {
      for await (const g of control.watch(watchGateway, { name: 'watched' })) {
        if (g.status!.connected !== seen.at(-1)) seen.push(g.status!.connected);
        if (seen.length === 3) break;
      }
    })();
    await expect.poll(() => seen).toEqual([false]);
    const session = agent.connect({ hostname: 'h1', kernel: '6.1', agentVersion: '0.1.0', driver: 'iptables-nft' });
    await expect.poll(() => seen).toEqual([false, true]);
    const { status } = await control.call(getGateway, { name: 'watched' });
    expect(status).toMatchObject({
      hostname: 'h1',
      kernel: '6.1',
      agentVersion: '0.1.0',
      driver: 'iptables-nft',
      enrolled: true,
    });
    session.leave();
    await watching;
    end.abort();
    await expect
      .poll(async () => (await control.call(EventService.method.listEvents, { gateway: 'watched' })).events.map((e) => e.reason))
      .toEqual(['SESSION_ENDED', 'SESSION_STARTED']);
    const system = await control.call(SystemService.method.getStatus, {});
    expect(system.gateways).toBeGreaterThan(1);
  });
});

describe('join tokens', () => {
  let control: TestControl;
  beforeAll(async () => {
    control = await startControl();
    await control.call(createGateway, { gateway: { name: 'gw1' } });
  });
  afterAll(() => control.close());

  const enrol = async (token: string) => {
    const { csr } = await makeKeyAndRequest();
    return unary(control.client(), EnrolService.method.enrol, { token, csr });
  };
  const bad = { code: 'PERMISSION_DENIED', reason: 'BAD_JOIN_TOKEN' };

  it('carry the CA and the way here, and expire', async () => {
    const { joinString, expireTime } = await control.call(createJoinToken, { gateway: 'gw1', ttlSeconds: 60 });
    const parsed = parseJoinString(joinString);
    expect(parsed).toMatchObject({ ok: true, value: { servers: [control.address], gateway: 'gw1' } });
    const seconds = Number(expireTime!.seconds) - Date.now() / 1000;
    expect(seconds).toBeGreaterThan(50);
    expect(seconds).toBeLessThan(61);
    await expect(control.call(createJoinToken, { gateway: 'gw1', ttlSeconds: 3601 })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
    await expect(control.call(createJoinToken, { gateway: 'nope' })).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(control.call(createJoinToken, { gateway: 'gw1', sourceCidr: '10.0.0.1/8' })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
  });

  it('serve once: 50 at the same time, exactly 1 succeeds', async () => {
    const token = await control.joinToken('gw1');
    const requests = await Promise.all(Array.from({ length: 50 }, () => makeKeyAndRequest()));
    const client = control.client();
    const results = await Promise.allSettled(requests.map(({ csr }) => unary(client, EnrolService.method.enrol, { token, csr })));
    expect(results.filter((r) => r.status === 'fulfilled')).toHaveLength(1);
    for (const r of results) if (r.status === 'rejected') expect(r.reason).toMatchObject(bad);
    await expect(enrol(token)).rejects.toMatchObject(bad);
  });

  it('are refused expired, from elsewhere, and unknown, all with one reason', async () => {
    const expired = await control.joinToken('gw1');
    await control.database.sql.query("UPDATE join_tokens SET expire_time = now() - interval '1 s' WHERE use_time IS NULL");
    await expect(enrol(expired)).rejects.toMatchObject(bad);
    await expect(enrol(await control.joinToken('gw1', { sourceCidr: '10.0.0.0/8' }))).rejects.toMatchObject(bad);
    await expect(enrol(`gwctl_jt_${'x'.repeat(43)}`)).rejects.toMatchObject(bad);
    await expect(enrol(control.token)).rejects.toMatchObject(bad);
    expect((await enrol(await control.joinToken('gw1', { sourceCidr: '127.0.0.0/8' }))).gateway).toBe('gw1');
  });

  it('are not used up by a bad certificate request', async () => {
    const token = await control.joinToken('gw1');
    const call = unary(control.client(), EnrolService.method.enrol, { token, csr: new Uint8Array([1, 2, 3]) });
    await expect(call).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect((await enrol(token)).gateway).toBe('gw1');
  });
});
