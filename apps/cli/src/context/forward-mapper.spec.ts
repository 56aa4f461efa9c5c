import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { ForwardSchema } from '@gwctl/proto/gwctl/v1/forward_pb';
import { PlacementState, Protocol, ProxyProtocol, TargetHealth } from '@gwctl/proto/gwctl/v1/types_pb';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ForwardChanges } from '../resources/forward-input.js';
import { applyMask } from '../testing/field-mask.js';
import { fromChanges, fromFilter, maskOf, toForward } from './forward-mapper.js';

/** Every part that can change, with the paths that it stands for. */
const PARTS: readonly (readonly [ForwardChanges, readonly string[]])[] = [
  [{ labels: { a: 'b' } }, ['labels']],
  [{ description: '' }, ['spec.description']],
  [{ owner: 'web' }, ['spec.owner']],
  [{ on: { kind: 'gateway', gateway: 'gw2' } }, ['spec.gateway']],
  [{ on: { kind: 'selector', matchLabels: { site: 'x' } } }, ['spec.gateway_selector']],
  [
    { listen: { address: '', protocol: 'udp', ports: { first: 1, last: 2 } } },
    ['spec.listen.address', 'spec.listen.protocol', 'spec.listen.ports'],
  ],
  [{ interface: '' }, ['spec.listen.interface']],
  [{ announce: false }, ['spec.listen.announce']],
  [{ targets: [{ host: '192.0.2.9' }] }, ['spec.targets']],
  [{ allowSources: [] }, ['spec.allow_sources']],
  [{ snat: { mode: 'none' } }, ['spec.snat']],
  [{ driver: 'kernel' }, ['spec.driver']],
  [{ onChange: 'cut' }, ['spec.on_change']],
  [{ enabled: false }, ['spec.enabled']],
  [{ expires: 'never' }, ['spec.expires']],
  [{ takeover: true }, ['spec.takeover']],
  [{ affinity: 'client' }, ['spec.affinity']],
  [{ helper: 'ftp' }, ['spec.helper']],
  [{ clampMss: true }, ['spec.clamp_mss']],
  [{ healthCheck: { mode: 'tcp', port: 81 } }, ['spec.health_check']],
  [{ proxyProtocol: 'v2' }, ['spec.relay.proxy_protocol']],
  [{ connectTimeout: 7 }, ['spec.relay.connect_timeout_seconds']],
  [{ tcpIdleTimeout: 0 }, ['spec.relay.tcp_idle_timeout_seconds']],
  [{ udpIdleTimeout: 7 }, ['spec.relay.udp_idle_timeout_seconds']],
  [{ maxConnections: 7 }, ['spec.relay.max_connections']],
  [{ maxConnectionsPerClient: 0 }, ['spec.relay.max_connections_per_client']],
];

const stored = () =>
  create(ForwardSchema, {
    name: 'web',
    labels: { team: 'web' },
    generation: 4n,
    spec: {
      description: 'd',
      owner: 'o',
      on: { case: 'gateway', value: 'gw1' },
      listen: { address: '192.0.2.1', interface: 'eth0', protocol: Protocol.TCP, ports: { first: 80, last: 80 }, announce: true },
      targets: [{ host: '198.51.100.2', port: 80 }],
      allowSources: ['203.0.113.0/24'],
      enabled: true,
      expires: { seconds: 1_800_000_000n, nanos: 0 },
      relay: {
        proxyProtocol: ProxyProtocol.V1,
        connectTimeoutSeconds: 1,
        tcpIdleTimeoutSeconds: 2,
        udpIdleTimeoutSeconds: 3,
        maxConnections: 4,
        maxConnectionsPerClient: 5,
      },
    },
    placements: [
      {
        gateway: 'gw1',
        state: PlacementState.ACTIVE,
        targets: [{ host: 'a', address: '198.51.100.2', port: 80, health: TargetHealth.HEALTHY }],
      },
      { gateway: 'gw2', state: 99 as PlacementState },
    ],
  });

describe('changes', () => {
  it.each(PARTS)('%j: mask %j', (changes, paths) => {
    expect(maskOf(changes)).toEqual(paths);
  });

  it('make a mask of exactly what is present, in any combination', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.integer({ min: 0, max: PARTS.length - 1 })), (picked) => {
        const parts = picked
          .map((i) => PARTS[i]!)
          .filter(([part], i, all) => !('on' in part && all.slice(0, i).some(([p]) => 'on' in p)));
        const changes: ForwardChanges = Object.assign({}, ...parts.map(([part]) => part));
        expect(maskOf(changes).sort()).toEqual(parts.flatMap(([, paths]) => paths).sort());
      }),
    );
  });

  it.each(PARTS)('%j changes that and nothing else', (changes, paths) => {
    const before = toForward(stored());
    const changed = stored();
    const sent = fromBinary(ForwardSchema, toBinary(ForwardSchema, create(ForwardSchema, fromChanges('web', changes))));
    applyMask(changed, sent, maskOf(changes));
    const after = toForward(changed);
    const top = paths[0] === 'labels' ? 'metadata' : 'spec';
    expect({ ...after, [top]: 0 }).toEqual({ ...before, [top]: 0 });
    const key = Object.keys(changes)[0] as keyof ForwardChanges;
    const others = (f: typeof after) => {
      const { labels, ...metadata } = f.metadata;
      const { listen, gateway, gatewaySelector, relay, ...spec } = f.spec;
      const { address, protocol, ports, ...listener } = listen;
      const groups: Record<string, unknown> = {
        labels,
        metadata,
        on: { gateway, gatewaySelector },
        listen: { address, protocol, ports },
        ...listener,
        ...Object.fromEntries(Object.entries(relay ?? {}).map(([field, of]) => [field.replace(/Seconds$/, ''), of])),
        ...spec,
      };
      delete groups[key];
      return groups;
    };
    expect(others(after)).toEqual(others(before));
  });

  it('reach the values that they name', () => {
    const changed = stored();
    const changes: ForwardChanges = {
      listen: { address: '', protocol: 'tcp+udp', ports: { first: 53, last: 54 } },
      allowSources: [],
      expires: 'never',
      snat: { mode: 'address', address: '192.0.2.7' },
      targets: [{ host: '192.0.2.8', weight: 3 }, { host: 'db.example.net' }],
      affinity: 'client',
      helper: 'ftp',
      clampMss: true,
      healthCheck: { mode: 'tcp', port: 81 },
      proxyProtocol: 'none',
      connectTimeout: 9,
      tcpIdleTimeout: 0,
    };
    applyMask(changed, create(ForwardSchema, fromChanges('web', changes)), maskOf(changes));
    expect(toForward(changed).spec).toMatchObject({
      listen: { protocol: 'tcp+udp', ports: '53-54', interface: 'eth0', announce: true },
      allowSources: [],
      snat: { mode: 'address', address: '192.0.2.7' },
      targets: [
        { host: '192.0.2.8', weight: 3 },
        { host: 'db.example.net', weight: 1 },
      ],
      affinity: 'client',
      helper: 'ftp',
      clampMss: true,
      healthCheck: { mode: 'tcp', port: 81 },
    });
    expect(toForward(changed).spec.relay).toEqual({
      connectTimeoutSeconds: 9,
      udpIdleTimeoutSeconds: 3,
      maxConnections: 4,
      maxConnectionsPerClient: 5,
    });
    expect(toForward(changed).spec).not.toHaveProperty('expires');
  });
});

describe('toForward', () => {
  it('gives words for what it knows and says what it does not know', () => {
    const { status } = toForward(stored());
    expect(status.placements.map((p) => p.state)).toEqual(['ACTIVE', 'UNRECOGNISED_99']);
    expect(status.placements[0]?.targets[0]?.health).toBe('healthy');
  });

  it('reads a forward without a spec', () => {
    expect(toForward(create(ForwardSchema, { name: 'web' })).spec).toMatchObject({ enabled: false, targets: [] });
  });
});

describe('fromFilter', () => {
  it('sends what is set', () => {
    expect(fromFilter({ gateway: 'gw1', state: 'REJECTED' })).toEqual({
      gateway: 'gw1',
      labels: {},
      owner: '',
      state: PlacementState.REJECTED,
    });
  });
});
