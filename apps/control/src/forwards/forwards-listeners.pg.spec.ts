import { ForwardService } from '@gwctl/proto/gwctl/v1/forward_pb';
import { DriverChoice, Protocol } from '@gwctl/proto/gwctl/v1/types_pb';
import { describe, expect, it } from 'vitest';
import type { TestControl } from '../testing/control.js';
import { everything, forwardOf, type ListenInit, tcp } from '../testing/requests.js';
import { useForwards } from '../testing/use-forwards.js';

const { updateForward } = ForwardService.method;

describe('listeners of forwards', () => {
  let control: TestControl;
  let gateway = '';
  const { create, named } = useForwards((both) => {
    ({ control, gateway } = both);
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
});
