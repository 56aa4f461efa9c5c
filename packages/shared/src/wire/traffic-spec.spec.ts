import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { DesiredForwardSchema } from '@gwctl/proto/gwctl/agent/v1/agent_pb';
import { ForwardSpecSchema } from '@gwctl/proto/gwctl/v1/forward_pb';
import { ProxyProtocol } from '@gwctl/proto/gwctl/v1/types_pb';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseTrafficSpec, type RawTrafficSpec, type TrafficSpec } from '../domain/forward.js';
import { rawTrafficSpec, wireTrafficSpec } from './traffic-spec.js';

const limit = (most: number) => fc.oneof({ weight: 2, arbitrary: fc.constant(0) }, fc.integer({ min: 1, max: most }));
const relay = fc.record({
  proxyProtocol: fc.constantFrom('none', 'v1', 'v2'),
  connectTimeout: limit(300),
  tcpIdleTimeout: limit(604_800),
  udpIdleTimeout: limit(86_400),
  maxConnections: limit(1_000_000),
  maxConnectionsPerClient: limit(1_000_000),
});

/** Forwards of the kinds that the relay carries and of those that it does not; some of them are refused, which is not the question here. */
const raw: fc.Arbitrary<RawTrafficSpec> = fc.record({
  listen: fc.record({
    address: fc.constantFrom('', '192.0.2.1', '127.0.0.1', '2001:db8::1', '::1'),
    interface: fc.constantFrom('', 'eth0'),
    protocol: fc.constantFrom('tcp', 'udp', 'tcp+udp'),
    ports: fc.record({ first: fc.integer({ min: 1, max: 100 }), last: fc.integer({ min: 100, max: 200 }) }),
    announce: fc.boolean(),
  }),
  targets: fc.uniqueArray(
    fc.record({
      host: fc.constantFrom('198.51.100.2', '127.0.0.1', '::1', '2001:db8::2', 'db.example.net'),
      port: fc.integer({ min: 0, max: 60_000 }),
      weight: fc.integer({ min: 0, max: 1000 }),
    }),
    { selector: (t) => `${t.host}|${t.port}`, minLength: 1, maxLength: 4 },
  ),
  allowSources: fc.subarray(['203.0.113.0/24', '2001:db8:1::/48', 'office.example.net']),
  snat: fc.constantFrom(
    { mode: 'auto' as const, address: '' },
    { mode: 'none' as const, address: '' },
    { mode: 'address' as const, address: '192.0.2.9' },
  ),
  driver: fc.constantFrom('auto', 'kernel', 'relay'),
  onChange: fc.constantFrom('drain', 'cut', 'keep'),
  enabled: fc.boolean(),
  expires: fc.option(fc.integer({ min: 0, max: 4_000_000_000_000 }), { nil: undefined }),
  takeover: fc.boolean(),
  affinity: fc.constantFrom('none', 'client'),
  helper: fc.constantFrom('auto', 'none', 'ftp'),
  clampMss: fc.boolean(),
  healthCheck: fc.constantFrom({ mode: 'auto' as const, port: 0 }, { mode: 'tcp' as const, port: 81 }),
  relay: fc.option(relay, { nil: undefined }),
});

const mustParse = (from: RawTrafficSpec): TrafficSpec => {
  const parsed = parseTrafficSpec(from);
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.error));
  return parsed.value;
};

describe('a traffic spec on the wire', () => {
  it('comes back as it was, from an operator and to an agent, and always as the same bytes', () => {
    let checked = 0;
    fc.assert(
      fc.property(raw, (from) => {
        const parsed = parseTrafficSpec(from);
        if (!parsed.ok) return;
        checked++;
        for (const schema of [ForwardSpecSchema, DesiredForwardSchema] as const) {
          const bytes = toBinary(schema, create(schema, wireTrafficSpec(parsed.value)));
          const back = mustParse(rawTrafficSpec(fromBinary(schema, bytes)));
          expect(back).toEqual(parsed.value);
          expect(toBinary(schema, create(schema, wireTrafficSpec(back)))).toEqual(bytes);
        }
      }),
      { numRuns: 2000 },
    );
    expect(checked).toBeGreaterThan(100);
  });

  it('says nothing of the relay where nothing is asked of it, so that digests of other forwards stay what they were', () => {
    fc.assert(
      fc.property(raw, (from) => {
        const parsed = parseTrafficSpec({ ...from, relay: undefined });
        if (!parsed.ok) return;
        const bare = wireTrafficSpec(parsed.value);
        expect(bare).not.toHaveProperty('relay');
        const asked = { ...wireTrafficSpec(parsed.value), relay: { proxyProtocol: ProxyProtocol.NONE } };
        const back = mustParse(rawTrafficSpec(create(ForwardSpecSchema, asked)));
        expect(wireTrafficSpec(back)).toEqual(bare);
      }),
    );
  });

  it('refuses a version of the PROXY protocol that it does not know', () => {
    const wire = create(ForwardSpecSchema, { relay: { proxyProtocol: 9 as ProxyProtocol } });
    const parsed = parseTrafficSpec(rawTrafficSpec(wire), 'spec.');
    expect(!parsed.ok && parsed.error).toContainEqual({
      field: 'spec.relay.proxy_protocol',
      description: 'unknown version; use none, v1 or v2',
    });
  });
});
