import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { ForwardService } from '@gwctl/proto/gwctl/v1/forward_pb';
import {
  Affinity,
  DriverChoice,
  HealthCheckMode,
  Helper,
  PlacementState,
  Protocol,
  SnatMode,
} from '@gwctl/proto/gwctl/v1/types_pb';
import { describe, expect, it } from 'vitest';
import type { TestControl } from '../testing/control.js';
import { type ForwardInit, forwardOf, type SpecInit } from '../testing/requests.js';
import { useForwards } from '../testing/use-forwards.js';

const { getForward, deleteForward } = ForwardService.method;

describe('making forwards', () => {
  let control: TestControl;
  let gateway = '';
  const { counts, create, named } = useForwards((both) => {
    ({ control, gateway } = both);
  });

  it('makes one with uid, etag, generation and a placement at a revision, in canonical form', async () => {
    const made = await create({
      ...forwardOf(named('a'), gateway, 80, { allowSources: ['10.0.0.0/8'] }),
      labels: { team: 'web' },
    });
    expect(made).toMatchObject({ name: named('a'), generation: 1n, labels: { team: 'web' } });
    expect(made.spec?.snat?.mode).toBe(SnatMode.AUTO);
    expect(made.spec?.targets[0]?.weight).toBe(1);
    expect(made.placements).toMatchObject([{ gateway, state: PlacementState.UNKNOWN, revision: 1n }]);
    const read = await control.call(getForward, { name: named('a') });
    expect(read).toEqual(made);
    const { rows } = await control.database.sql.query('SELECT * FROM audit_entries WHERE resource = $1', [
      `forward/${named('a')}`,
    ]);
    expect(rows).toMatchObject([
      {
        actor: 'operator:admin',
        source: '127.0.0.1',
        method: '/gwctl.v1.ForwardService/CreateForward',
        result: 'OK',
        before: null,
      },
    ]);
    expect(rows[0].after).toMatchObject({ labels: { team: 'web' }, generation: 1 });
  });

  it.each<[string, ForwardInit, string, string]>([
    [
      'a range from port 0',
      forwardOf('x', 'gw-1', 0, { listen: { protocol: Protocol.TCP, ports: { first: 0, last: 9 } } }),
      'spec.listen.ports',
      '0 is not a port',
    ],
    ['port 70000', forwardOf('x', 'gw-1', 70000), 'spec.listen.ports', '70000'],
    [
      'a reversed range',
      { ...forwardOf('x', 'gw-1', 1, { listen: { protocol: Protocol.TCP, ports: { first: 90, last: 80 } } }) },
      'spec.listen.ports',
      'reversed',
    ],
    ['a bad name', forwardOf('Bad_Name', 'gw-1', 80), 'name', 'is not a name'],
    ['a bad CIDR', forwardOf('x', 'gw-1', 80, { allowSources: ['10.0.0.1/8'] }), 'spec.allow_sources[0]', 'host bits'],
    ['a past expiry', forwardOf('x', 'gw-1', 80, { expires: timestampFromMs(1) }), 'spec.expires', 'past'],
    ['no protocol', forwardOf('x', 'gw-1', 80, { listen: { ports: { first: 1, last: 1 } } }), 'spec.listen.protocol', 'unknown'],
    ['no gateway', forwardOf('x', 'gw-1', 80, { on: { case: undefined } }), 'spec.gateway', 'is missing'],
    ['a control character', forwardOf('x', 'gw-1', 80, { description: 'a\u001b[2J' }), 'spec.description', 'control characters'],
  ])('refuses %s by field, and changes nothing', async (_, forward, field, text) => {
    const before = await counts();
    const call = create(forward);
    await expect(call).rejects.toMatchObject({ code: 'INVALID_ARGUMENT', reason: 'INVALID_FIELD' });
    const { violations } = await call.catch((e) => e);
    expect(violations.find((v: { field: string }) => v.field === field)?.description).toContain(text);
    expect(await counts()).toEqual(before);
  });

  it.each<[string, SpecInit, string]>([
    ['selectors', { on: { case: 'gatewaySelector', value: { matchLabels: { a: 'b' } } } }, 'spec.gateway_selector'],
  ])('says that %s are not supported yet, and changes nothing', async (_, spec, field) => {
    const before = await counts();
    const call = create(forwardOf(named('u'), gateway, 80, spec));
    await expect(call).rejects.toMatchObject({ code: 'UNIMPLEMENTED', reason: 'NOT_SUPPORTED_YET' });
    expect((await call.catch((e) => e)).violations[0].field).toBe(field);
    expect(await counts()).toEqual(before);
  });

  it('refuses an unknown gateway, a taken name and a taken listener, naming who has it', async () => {
    await create(forwardOf(named('a'), gateway, 80));
    const before = await counts();
    await expect(create(forwardOf(named('b'), 'nowhere', 80))).rejects.toMatchObject({
      code: 'NOT_FOUND',
      reason: 'GATEWAY_NOT_FOUND',
    });
    await expect(create(forwardOf(named('a'), gateway, 81))).rejects.toMatchObject({
      code: 'ALREADY_EXISTS',
      reason: 'NAME_TAKEN',
    });
    const listen = { address: '192.168.1.10', protocol: Protocol.TCP, ports: { first: 80, last: 80 } };
    await expect(create(forwardOf(named('b'), gateway, 80, { listen }))).rejects.toMatchObject({
      code: 'ALREADY_EXISTS',
      reason: 'LISTENER_TAKEN',
      metadata: { forward: named('a'), gateway },
    });
    expect(await counts()).toEqual(before);
  });

  /** One of every kind that the drivers carry. */
  const EVERY_KIND: readonly [string, SpecInit][] = [
    ['tcp+udp', { listen: { protocol: Protocol.TCP_UDP, ports: { first: 1, last: 1 } } }],
    [
      '1:1 NAT of an announced address',
      { listen: { address: '10.0.0.1', protocol: Protocol.ALL, announce: true }, targets: [{ host: '10.0.0.2' }] },
    ],
    [
      'a shifted range',
      { listen: { protocol: Protocol.UDP, ports: { first: 100, last: 109 } }, targets: [{ host: '10.0.0.1', port: 200 }] },
    ],
    [
      'several weighted targets with affinity',
      {
        targets: [
          { host: '10.0.0.1', port: 1, weight: 3 },
          { host: '10.0.0.2', port: 1 },
        ],
        affinity: Affinity.CLIENT,
      },
    ],
    ['DNS targets and sources', { targets: [{ host: 'db.example.net', port: 1 }], allowSources: ['office.example.net'] }],
    ['IPv6', { targets: [{ host: '2001:db8::1', port: 1 }], allowSources: ['2001:db8:1::/48'] }],
    ['FTP with lowered segments', { helper: Helper.FTP, clampMss: true }],
    ['a health check of its own port', { healthCheck: { mode: HealthCheckMode.TCP, port: 8081 } }],
  ];

  it('tells the agent all that a forward of any kind says', async () => {
    const agent = await control.agent(`${gateway}-agent`);
    const session = agent.connect();
    for (const [i, [kind, spec]] of EVERY_KIND.entries()) {
      const on = { case: 'gateway', value: `${gateway}-agent` } as const;
      const made = await create(forwardOf(named(`k${i}`), gateway, 8000 + i, { ...spec, on }));
      await session.until(() => session.entries.has(made.uid));
      const { uid, generation, name, ...told } = session.forward(made.uid)!;
      expect([kind, uid, generation, name]).toEqual([kind, made.uid, 1n, made.name]);
      const { description, owner, on: placing, ...wanted } = made.spec!;
      expect({ ...told, $typeName: '' }).toEqual({ ...wanted, $typeName: '' });
      await control.call(deleteForward, { name: made.name });
    }
  });

  it.each<[string, SpecInit, string]>([
    [
      'an IPv6 source of a name behind every address',
      { targets: [{ host: 'db.example.net', port: 1 }], allowSources: ['2001:db8::/32'] },
      'spec.allow_sources[0]',
    ],
    [
      'an IPv6 source address for one',
      { targets: [{ host: 'db.example.net', port: 1 }], snat: { mode: SnatMode.ADDRESS, address: '2001:db8::1' } },
      'spec.snat.address',
    ],
    [
      'an IPv6 source of a name behind every address for the kernel',
      { targets: [{ host: 'db.example.net', port: 1 }], allowSources: ['2001:db8::/32'], driver: DriverChoice.KERNEL },
      'spec.allow_sources[0]',
    ],
  ])('refuses %s, since it counts as IPv4', async (_, spec, field) => {
    const call = create(forwardOf(named('v'), gateway, 80, spec));
    await expect(call).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect((await call.catch((e) => e)).violations[0].field).toBe(field);
  });

  it('only checks where asked to', async () => {
    const before = await counts();
    expect((await create(forwardOf(named('dry'), gateway, 80), { validateOnly: true })).name).toBe(named('dry'));
    expect(await counts()).toEqual(before);
    await create(forwardOf(named('a'), gateway, 80));
    const dry = create(forwardOf(named('dry'), gateway, 80), { validateOnly: true });
    await expect(dry).rejects.toMatchObject({ reason: 'LISTENER_TAKEN' });
    await control.call(deleteForward, { name: named('a'), validateOnly: true });
    expect((await control.call(getForward, { name: named('a') })).name).toBe(named('a'));
  });

  it('answers a repeated request with what the first one made, once', async () => {
    const forward = forwardOf(named('a'), gateway, 80);
    const all = await Promise.all(Array.from({ length: 8 }, () => create(forward, { requestId: `id-${gateway}` })));
    expect(new Set(all.map((x) => x.uid)).size).toBe(1);
    const other = create(forwardOf(named('b'), gateway, 81), { requestId: `id-${gateway}` });
    await expect(other).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  });

  it('changes nothing where the audit entry cannot be written (S43), and lets nobody change the trail', async () => {
    const { sql } = control.database;
    await expect(sql.query("UPDATE audit_entries SET actor = 'nobody'")).rejects.toThrow('append-only');
    await expect(sql.query('DELETE FROM audit_entries')).rejects.toThrow('append-only');
    await expect(sql.query('TRUNCATE audit_entries')).rejects.toThrow('append-only');
    await sql.query("ALTER TABLE audit_entries ADD CONSTRAINT full_disk CHECK (resource <> 'forward/unrecorded')");
    const before = await counts();
    await expect(create(forwardOf('unrecorded', gateway, 80))).rejects.toBeDefined();
    expect(await counts()).toEqual(before);
    await sql.query('ALTER TABLE audit_entries DROP CONSTRAINT full_disk');
  });

  it('refuses the 50,001st forward of a gateway', async () => {
    await control.database.sql.query(
      'UPDATE desired_states d SET entries = 50000 FROM gateways g WHERE g.uid = d.gateway_uid AND g.name = $1',
      [gateway],
    );
    await expect(create(forwardOf(named('a'), gateway, 80))).rejects.toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
      reason: 'GATEWAY_FULL',
    });
  });
});
