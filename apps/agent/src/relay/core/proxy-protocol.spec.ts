import { describe, expect, it } from 'vitest';
import { type ProxiedConnection, proxyHeaderV1, proxyHeaderV2, V1_MAX } from './proxy-protocol.js';

const WIDEST = 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff';
const between = (from: string, to: string, transport: 'tcp' | 'udp' = 'tcp', ports = [65535, 65535]): ProxiedConnection => ({
  transport,
  client: { address: from, port: ports[0] ?? 0 },
  listener: { address: to, port: ports[1] ?? 0 },
});
const v1 = (connection?: ProxiedConnection) => proxyHeaderV1(connection).toString('latin1');
const v2 = (connection?: ProxiedConnection) => proxyHeaderV2(connection).toString('hex');
const SIGNATURE = '0d0a0d0a000d0a515549540a';

describe('version 1, as in section 2.1 of the specification', () => {
  it("writes the specification's example", () => {
    expect(v1(between('192.168.0.1', '192.168.0.11', 'tcp', [56324, 443]))).toBe(
      'PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n',
    );
  });

  it('writes the longest lines that the specification counts', () => {
    const tcp4 = v1(between('255.255.255.255', '255.255.255.255'));
    expect(tcp4).toBe('PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n');
    expect(tcp4).toHaveLength(56);
    const tcp6 = v1(between(WIDEST, WIDEST));
    expect(tcp6).toBe(`PROXY TCP6 ${WIDEST} ${WIDEST} 65535 65535\r\n`);
    expect(tcp6).toHaveLength(104);
    expect(tcp6.length).toBeLessThanOrEqual(V1_MAX);
  });

  it('says UNKNOWN without a client, and for UDP', () => {
    expect(v1()).toBe('PROXY UNKNOWN\r\n');
    expect(v1()).toHaveLength(15);
    expect(v1(between('192.0.2.1', '192.0.2.2', 'udp'))).toBe('PROXY UNKNOWN\r\n');
  });

  it('writes a client that a socket for both families shows as IPv6 as the IPv4 that it is', () => {
    expect(v1(between('::ffff:192.0.2.1', '::ffff:192.0.2.2', 'tcp', [1, 2]))).toBe('PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n');
  });

  it('writes both as IPv6 where the families differ', () => {
    expect(v1(between('192.0.2.1', '2001:db8::2', 'tcp', [1, 2]))).toBe('PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 1 2\r\n');
  });

  it('leaves out a zone', () => {
    expect(v1(between('fe80::1%eth0', 'fe80::2%eth0', 'tcp', [1, 2]))).toBe('PROXY TCP6 fe80::1 fe80::2 1 2\r\n');
  });
});

describe('version 2, as in section 2.2 of the specification', () => {
  it.each([
    ['tcp', '11'],
    ['udp', '12'],
  ] as const)('writes %s over IPv4', (transport, family) => {
    expect(v2(between('192.168.0.1', '192.168.0.11', transport, [56324, 443]))).toBe(
      `${SIGNATURE}21${family}000cc0a80001c0a8000bdc0401bb`,
    );
  });

  it.each([
    ['tcp', '21'],
    ['udp', '22'],
  ] as const)('writes %s over IPv6', (transport, family) => {
    const one = '20010db8000000000000000000000001';
    const two = '20010db8000000000000000000000002';
    expect(v2(between('2001:db8::1', '2001:db8::2', transport, [56324, 443]))).toBe(
      `${SIGNATURE}21${family}0024${one}${two}dc0401bb`,
    );
  });

  it('writes both as IPv6 where the families differ', () => {
    const four = '00000000000000000000ffffc0000201';
    const six = '20010db8000000000000000000000002';
    expect(v2(between('192.0.2.1', '2001:db8::2', 'tcp', [1, 2]))).toBe(`${SIGNATURE}21210024${four}${six}00010002`);
    expect(v2(between('2001:db8::2', '192.0.2.1', 'tcp', [1, 2]))).toBe(`${SIGNATURE}21210024${six}${four}00010002`);
  });

  it('says LOCAL for a connection of its own', () => {
    expect(v2()).toBe(`${SIGNATURE}20000000`);
  });
});
