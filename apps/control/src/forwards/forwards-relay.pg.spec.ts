import { ForwardService } from '@gwctl/proto/gwctl/v1/forward_pb';
import { DriverChoice, Helper, Protocol, ProxyProtocol, SnatMode } from '@gwctl/proto/gwctl/v1/types_pb';
import { describe, expect, it } from 'vitest';
import type { TestControl } from '../testing/control.js';
import { everything, forwardOf, type SpecInit, tcp } from '../testing/requests.js';
import { useForwards } from '../testing/use-forwards.js';

const { getForward, updateForward, deleteForward } = ForwardService.method;

describe('forwards of the relay', () => {
  let control: TestControl;
  let gateway = '';
  const { counts, create, named } = useForwards((both) => {
    ({ control, gateway } = both);
  });

  /** One of every kind that only the relay carries. */
  const FOR_THE_RELAY: readonly [string, SpecInit][] = [
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

  it.each<[string, SpecInit, readonly (readonly [string, string])[]]>([
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
    const update = (spec: SpecInit, paths: readonly string[], more: object = {}) =>
      control.call(updateForward, { forward: { name: named('a'), spec }, updateMask: { paths: [...paths] }, ...more });
    const limited = await update({ relay: { maxConnections: 5, connectTimeoutSeconds: 9 } }, ['spec.relay.max_connections']);
    expect(limited).toMatchObject({
      generation: 2n,
      spec: { relay: { proxyProtocol: ProxyProtocol.V2, maxConnections: 5, connectTimeoutSeconds: 0 } },
    });
    const kernel = { driver: DriverChoice.KERNEL };
    for (const validateOnly of [true, false])
      expect(
        (await update(kernel, ['spec.driver'], { validateOnly }).catch((e) => e)).violations.map(
          (v: { field: string }) => v.field,
        ),
      ).toEqual(['spec.relay.proxy_protocol', 'spec.relay.max_connections']);
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
});
