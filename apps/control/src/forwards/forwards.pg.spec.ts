import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { ForwardService } from '@gwctl/proto/gwctl/v1/forward_pb';
import { GatewayService } from '@gwctl/proto/gwctl/v1/gateway_pb';
import {
  Affinity,
  DriverChoice,
  HealthCheckMode,
  Helper,
  PlacementState,
  Protocol,
  ProxyProtocol,
  SnatMode,
} from '@gwctl/proto/gwctl/v1/types_pb';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startControl, type TestControl } from '../testing/control.js';
import { type ForwardInit, forwardOf } from '../testing/requests.js';

const { createForward, getForward, listForwards, updateForward, deleteForward, watchForward } = ForwardService.method;

type Spec = NonNullable<Parameters<typeof forwardOf>[3]>;
const fieldOf = ({ field }: { readonly field: string }) => field;
type ListenInit = NonNullable<NonNullable<ForwardInit['spec']>['listen']>;
const tcp = (port: number, address = '', last = port): ListenInit => ({
  address,
  protocol: Protocol.TCP,
  ports: { first: port, last },
});
const everything = (address: string): ListenInit => ({ address, protocol: Protocol.ALL });

describe('forwards', () => {
  let control: TestControl;
  let gateway = '';
  let gateways = 0;
  beforeAll(async () => {
    control = await startControl();
  });
  afterAll(() => control.close());
  beforeEach(async () => {
    gateway = `gw-${++gateways}`;
    await control.call(GatewayService.method.createGateway, { gateway: { name: gateway } });
  });

  const create = (forward: ForwardInit, more: object = {}) => control.call(createForward, { forward, ...more });
  const named = (n: string) => `${gateway}-${n}`;
  const counts = async () => {
    const tables = ['forwards', 'placements', 'listeners', 'changes', 'audit_entries', 'request_ids'];
    const select = tables.map((t) => `(SELECT count(*)::int FROM ${t}) AS ${t}`).join(', ');
    return (await control.database.sql.query(`SELECT ${select}, (SELECT sum(revision)::int FROM desired_states) AS revisions`))
      .rows[0];
  };

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

  it.each<[string, Spec, string]>([
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
  const EVERY_KIND: readonly [string, Spec][] = [
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

  it.each<[string, Spec, string]>([
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

  /** One of every kind that only the relay carries. */
  const FOR_THE_RELAY: readonly [string, Spec][] = [
    ['a loopback listener', { listen: tcp(80, '127.0.0.1') }],
    ['a loopback target', { targets: [{ host: '127.0.0.1', port: 1 }] }],
    ['an IPv6 target of an IPv4 listener', { listen: tcp(80, '10.0.0.1'), targets: [{ host: '2001:db8::1', port: 1 }] }],
    [
      'an IPv4 target of an IPv6 listener, with a fixed source and clients of each',
      {
        listen: tcp(80, '2001:db8::1'),
        targets: [{ host: '10.0.0.1', port: 1 }],
        snat: { mode: SnatMode.ADDRESS, address: '10.0.0.9' },
        allowSources: ['2001:db8::/32'],
      },
    ],
    [
      'clients and targets of both families',
      {
        targets: [
          { host: '10.0.0.1', port: 1 },
          { host: '2001:db8::1', port: 1 },
        ],
        allowSources: ['10.0.0.0/8', '2001:db8::/32'],
      },
    ],
    ['the PROXY protocol', { relay: { proxyProtocol: ProxyProtocol.V1 } }],
    [
      'all options',
      {
        listen: { protocol: Protocol.TCP_UDP, ports: { first: 80, last: 89 } },
        relay: {
          proxyProtocol: ProxyProtocol.V2,
          connectTimeoutSeconds: 1,
          tcpIdleTimeoutSeconds: 3600,
          udpIdleTimeoutSeconds: 30,
          maxConnections: 1000,
          maxConnectionsPerClient: 10,
        },
      },
    ],
  ];

  it.each(FOR_THE_RELAY)('takes %s for the relay, wanted or not, and tells the agent', async (_, spec) => {
    const agent = await control.agent(`${gateway}-agent`);
    const session = agent.connect();
    const on = { case: 'gateway', value: `${gateway}-agent` } as const;
    for (const driver of [DriverChoice.AUTO, DriverChoice.RELAY]) {
      const made = await create(forwardOf(named(`r${driver}`), gateway, 80, { ...spec, driver, on }));
      expect(made.spec?.driver).toBe(driver);
      expect((await control.call(getForward, { name: made.name })).spec).toEqual(made.spec);
      await session.until(() => session.entries.has(made.uid));
      const { uid, generation, name, ...told } = session.forward(made.uid)!;
      const { description, owner, on: placing, ...wanted } = made.spec!;
      // Whoever does not know the options refuses the driver.
      const asked = made.spec?.relay ? DriverChoice.RELAY : driver;
      expect({ ...told, $typeName: '' }).toEqual({ ...wanted, driver: asked, $typeName: '' });
      await control.call(deleteForward, { name: made.name });
    }
  });

  it.each<[string, Spec, readonly (readonly [string, string])[]]>([
    [
      'a loopback listener and target of the kernel',
      { listen: tcp(80, '127.0.0.1'), targets: [{ host: '127.0.0.1', port: 1 }], driver: DriverChoice.KERNEL },
      [
        ['listen.address', '127.0.0.1 is a loopback address, to which the kernel forwards nothing; use driver auto or relay'],
        ['targets[0].host', '127.0.0.1 is a loopback address, to which the kernel forwards nothing; use driver auto or relay'],
      ],
    ],
    [
      'another family of the kernel',
      { listen: tcp(80, '10.0.0.1'), targets: [{ host: '2001:db8::1', port: 1 }], driver: DriverChoice.KERNEL },
      [
        [
          'targets[0].host',
          '2001:db8::1 is IPv6 and the listener IPv4, between which the kernel does not translate; use driver auto or relay',
        ],
      ],
    ],
    [
      'the PROXY protocol and a limit of the kernel',
      { relay: { proxyProtocol: ProxyProtocol.V2, maxConnections: 5 }, driver: DriverChoice.KERNEL },
      [
        ['relay.proxy_protocol', 'the PROXY protocol is spoken by the relay only; use driver auto or relay'],
        [
          'relay.max_connections',
          'the kernel does not count connections of one forward; only the relay does; use driver auto or relay',
        ],
      ],
    ],
    [
      '1:1 NAT of the relay',
      { listen: everything('10.0.0.1'), targets: [{ host: '10.0.0.2' }], driver: DriverChoice.RELAY },
      [
        [
          'listen.protocol',
          'the relay carries TCP and UDP; 1:1 NAT of an address, ICMP with it, is done by the kernel only; use driver auto or kernel',
        ],
      ],
    ],
    [
      "the client's address, FTP, lowered segments and a taken port of the relay",
      { snat: { mode: SnatMode.NONE }, helper: Helper.FTP, clampMss: true, takeover: true, driver: DriverChoice.RELAY },
      [
        [
          'snat.mode',
          "the relay opens connections of its own and cannot keep the client's address, which the PROXY protocol tells targets instead; use driver auto or kernel",
        ],
        [
          'helper',
          'the relay does not follow FTP, whose passive ports it can only carry as a range of their own; use driver auto or kernel',
        ],
        [
          'clamp_mss',
          'connections of the relay end at the gateway, so there is no segment size to lower; use driver auto or kernel',
        ],
        [
          'takeover',
          'the relay listens with a socket of its own, so it cannot take what another socket has; use driver auto or kernel',
        ],
      ],
    ],
    [
      "the PROXY protocol together with the client's address",
      { relay: { proxyProtocol: ProxyProtocol.V1 }, snat: { mode: SnatMode.NONE } },
      [
        [
          'relay.proxy_protocol',
          'the PROXY protocol is spoken by the relay only; the relay cannot carry this forward either, so leave this out, or what keeps it from the relay',
        ],
        [
          'snat.mode',
          "the relay opens connections of its own and cannot keep the client's address, which the PROXY protocol tells targets instead; the kernel cannot carry this forward either, so leave this out, or what keeps it from the kernel",
        ],
      ],
    ],
    [
      'version 1 of the PROXY protocol for UDP',
      { listen: { protocol: Protocol.UDP, ports: { first: 53, last: 53 } }, relay: { proxyProtocol: ProxyProtocol.V1 } },
      [['relay.proxy_protocol', 'version 1 of the PROXY protocol knows TCP only and the listener takes udp; use v2']],
    ],
    [
      'an unknown version and times out of range',
      { relay: { proxyProtocol: 7 as ProxyProtocol, connectTimeoutSeconds: 301, maxConnectionsPerClient: 2_000_000 } },
      [
        ['relay.proxy_protocol', 'unknown version; use none, v1 or v2'],
        ['relay.connect_timeout_seconds', '301 is not allowed; write whole seconds from 1 to 300, or leave it out'],
        ['relay.max_connections_per_client', '2000000 is not allowed; write a whole number from 1 to 1000000, or leave it out'],
      ],
    ],
  ])('refuses %s with the reasons, in a dry run too, and changes nothing', async (_, spec, reasons) => {
    const before = await counts();
    for (const validateOnly of [false, true]) {
      const call = create(forwardOf(named('n'), gateway, 80, spec), { validateOnly });
      await expect(call).rejects.toMatchObject({ code: 'INVALID_ARGUMENT', reason: 'INVALID_FIELD' });
      expect((await call.catch((e) => e)).violations).toEqual(
        reasons.map(([field, description]) => ({ field: `spec.${field}`, description })),
      );
    }
    expect(await counts()).toEqual(before);
  });

  it('changes single options of the relay, clears them, and checks them against all the rest', async () => {
    const made = await create(forwardOf(named('a'), gateway, 80, { relay: { proxyProtocol: ProxyProtocol.V2 } }));
    const update = (spec: Spec, paths: readonly string[], more: object = {}) =>
      control.call(updateForward, { forward: { name: named('a'), spec }, updateMask: { paths: [...paths] }, ...more });
    const limited = await update({ relay: { maxConnections: 5, connectTimeoutSeconds: 9 } }, ['spec.relay.max_connections']);
    expect(limited).toMatchObject({
      generation: 2n,
      spec: { relay: { proxyProtocol: ProxyProtocol.V2, maxConnections: 5, connectTimeoutSeconds: 0 } },
    });
    const kernel = { driver: DriverChoice.KERNEL };
    for (const validateOnly of [true, false])
      expect((await update(kernel, ['spec.driver'], { validateOnly }).catch((e) => e)).violations.map(fieldOf)).toEqual([
        'spec.relay.proxy_protocol',
        'spec.relay.max_connections',
      ]);
    const cleared = await update({}, ['spec.relay.proxy_protocol', 'spec.relay.max_connections']);
    expect(cleared.generation).toBe(3n);
    expect(cleared.spec?.relay).toBeUndefined();
    expect((await update(kernel, ['spec.driver'])).spec?.driver).toBe(DriverChoice.KERNEL);
    // Only together: with the driver of before, the option would be refused.
    const both = await update({ driver: DriverChoice.AUTO, relay: { proxyProtocol: ProxyProtocol.V1 } }, [
      'spec.driver',
      'spec.relay',
    ]);
    expect(both.spec).toMatchObject({ driver: DriverChoice.AUTO, relay: { proxyProtocol: ProxyProtocol.V1 } });
    expect((await control.call(getForward, { name: made.name })).spec).toEqual(both.spec);
  });

  it('gives back the other family of every address when the relay is no longer needed', async () => {
    await create(forwardOf(named('a'), gateway, 80, { driver: DriverChoice.RELAY }));
    const other = () => create(forwardOf(named('b'), gateway, 80, { targets: [{ host: '2001:db8::9', port: 1 }] }));
    await expect(other()).rejects.toMatchObject({ reason: 'LISTENER_TAKEN', metadata: { forward: named('a') } });
    const driver = (choice: DriverChoice) =>
      control.call(updateForward, {
        forward: { name: named('a'), spec: { driver: choice } },
        updateMask: { paths: ['spec.driver'] },
      });
    await driver(DriverChoice.AUTO);
    await other();
    await expect(driver(DriverChoice.RELAY)).rejects.toMatchObject({
      reason: 'LISTENER_TAKEN',
      metadata: { forward: named('b') },
    });
  });

  it.each<[string, ListenInit, string, ListenInit, string, boolean]>([
    ['IPv4 and IPv6 on every address', tcp(80), '10.9.9.9', tcp(80), '2001:db8::99', true],
    ['a name counts as IPv4 behind every address', tcp(80), '10.9.9.9', tcp(80), 'db.example.net', false],
    ['every address of the relay takes both families', tcp(80), '127.0.0.1', tcp(80), '2001:db8::99', false],
    ['every address of the relay and one of them', tcp(80, '2001:db8::2'), '2001:db8::99', tcp(80), '::1', false],
    ['a loopback address and another of the relay', tcp(80, '127.0.0.1'), '10.9.9.9', tcp(80, '127.0.0.2'), '10.9.9.9', true],
    ['a name behind every address leaves IPv6 free', tcp(80), 'db.example.net', tcp(80), '2001:db8::99', true],
    ['every IPv6 address and one of them', tcp(80), '2001:db8::99', tcp(80, '2001:db8::1'), '2001:db8::99', false],
    ['two IPv6 addresses', tcp(80, '2001:db8::2'), '2001:db8::99', tcp(80, '2001:db8::1'), '2001:db8::99', true],
    ['tcp+udp and tcp', { ...tcp(80), protocol: Protocol.TCP_UDP }, '10.9.9.9', tcp(80), '10.9.9.9', false],
    [
      'tcp+udp and udp',
      { ...tcp(80), protocol: Protocol.TCP_UDP },
      '10.9.9.9',
      { ...tcp(80), protocol: Protocol.UDP },
      '10.9.9.9',
      false,
    ],
    ['all of an address and a port of it', everything('10.0.0.1'), '10.9.9.9', tcp(80, '10.0.0.1'), '10.9.9.9', false],
    ['all of an address and a port of every address', everything('10.0.0.1'), '10.9.9.9', tcp(80), '10.9.9.9', false],
    ['all of an address and a port of another', everything('10.0.0.1'), '10.9.9.9', tcp(80, '10.0.0.2'), '10.9.9.9', true],
    ['all of an address twice', everything('10.0.0.1'), '10.9.9.9', everything('10.0.0.1'), '10.9.9.8', false],
    ['all of an IPv6 address and an IPv4 port', everything('2001:db8::1'), '2001:db8::99', tcp(80), '10.9.9.9', true],
    ['ranges that overlap in one port', tcp(80, '', 90), '10.9.9.9', tcp(90, '', 99), '10.9.9.9', false],
    ['ranges side by side', tcp(80, '', 89), '10.9.9.9', tcp(90, '', 99), '10.9.9.9', true],
  ])('takes listeners apart: %s', async (_, first, firstTarget, second, secondTarget, free) => {
    const add = (name: string, listen: ListenInit, host: string) =>
      create(forwardOf(named(name), gateway, 1, { listen, targets: [{ host }] }));
    await add('a', first, firstTarget);
    const call = add('b', second, secondTarget);
    if (free) expect((await call).name).toBe(named('b'));
    else await expect(call).rejects.toMatchObject({ reason: 'LISTENER_TAKEN', metadata: { forward: named('a') } });
  });

  it('takes wildcard and addresses apart by port and transport', async () => {
    const on = (name: string, address: string, protocol: Protocol, port: number) =>
      create(forwardOf(named(name), gateway, port, { listen: { address, protocol, ports: { first: port, last: port } } }));
    await on('a', '192.168.1.10', Protocol.TCP, 80);
    await on('b', '192.168.1.11', Protocol.TCP, 80);
    await on('c', '', Protocol.UDP, 80);
    await on('d', '', Protocol.TCP, 81);
    await expect(on('e', '', Protocol.TCP, 80)).rejects.toMatchObject({ reason: 'LISTENER_TAKEN' });
  });

  it('gives a listener on port 0 a free port of the pool, which it keeps', async () => {
    const ports = async (call: ReturnType<typeof create>) => (await call).spec?.listen?.ports?.first;
    const udp = { protocol: Protocol.UDP, ports: { first: 0, last: 0 } };
    await create(forwardOf(named('range'), gateway, 1, { listen: tcp(50_001, '10.0.0.1', 50_002) }));
    expect(await ports(create(forwardOf(named('a'), gateway, 0)))).toBe(50_000);
    // A listener on every address must be free on all of them, one on another transport or address need not.
    expect(await ports(create(forwardOf(named('b'), gateway, 0)))).toBe(50_003);
    expect(await ports(create(forwardOf(named('c'), gateway, 0, { listen: udp })))).toBe(50_000);
    expect(await ports(create(forwardOf(named('d'), gateway, 0, { listen: tcp(0, '10.0.0.2') })))).toBe(50_001);
    const both = { protocol: Protocol.TCP_UDP, ports: { first: 0, last: 0 } };
    expect(await ports(create(forwardOf(named('e'), gateway, 0, { listen: both })))).toBe(50_004);
    expect(await ports(create(forwardOf(named('f'), gateway, 0), { validateOnly: true }))).toBe(50_005);
    const many = await Promise.all(
      Array.from({ length: 8 }, (_, i) => ports(create(forwardOf(named(`m${i}`), gateway, 0), { requestId: `${gateway}-${i}` }))),
    );
    expect(many.sort()).toEqual(Array.from({ length: 8 }, (_, i) => 50_005 + i));
    const update = (spec: object, ...paths: string[]) =>
      control.call(updateForward, { forward: { name: named('b'), spec }, updateMask: { paths } });
    expect((await update({ description: 'new' }, 'spec.description')).spec?.listen?.ports?.first).toBe(50_003);
    // Asked again, it finds its own port free.
    expect((await update({ listen: { ports: { first: 0, last: 0 } } }, 'spec.listen.ports')).spec?.listen?.ports?.first).toBe(
      50_003,
    );
    await create(forwardOf(named('rest'), gateway, 1, { listen: tcp(50_100, '10.0.0.9', 50_999) }));
    await create(forwardOf(named('start'), gateway, 1, { listen: tcp(50_013, '10.0.0.9', 50_099) }));
    const full = create(forwardOf(named('full'), gateway, 0));
    await expect(full).rejects.toMatchObject({ code: 'RESOURCE_EXHAUSTED', reason: 'POOL_EXHAUSTED' });
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
