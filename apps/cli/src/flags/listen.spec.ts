import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { listenerText } from '../output/placement-view.js';
import { type ListenFlag, parseListen } from './listen.js';

const addresses = fc.constantFrom('', '192.0.2.1', '10.0.0.255', '2001:db8::1', 'fe80::1', '::1');
const protocols = fc.constantFrom('tcp', 'udp', 'tcp+udp');
const ranges = fc
  .tuple(fc.integer({ min: 1, max: 65535 }), fc.integer({ min: 0, max: 4095 }))
  .map(([first, more]) => ({ first, last: Math.min(65535, first + more) }));

/** A listener as the output shows it. */
const shown = (l: ListenFlag) =>
  listenerText({
    ...(l.address === '' ? {} : { address: l.address }),
    protocol: l.protocol,
    ...(l.ports ? { ports: l.ports.first === l.ports.last ? `${l.ports.first}` : `${l.ports.first}-${l.ports.last}` } : {}),
  });

describe('parseListen', () => {
  it.each([
    ['10022', { address: '', protocol: 'tcp', ports: { first: 10022, last: 10022 } }],
    ['auto', { address: '', protocol: 'tcp', ports: { first: 0, last: 0 } }],
    ['10.0.0.1:auto', { address: '10.0.0.1', protocol: 'tcp', ports: { first: 0, last: 0 } }],
    ['[2001:db8::1]:auto/udp', { address: '2001:db8::1', protocol: 'udp', ports: { first: 0, last: 0 } }],
    ['10022/udp', { address: '', protocol: 'udp', ports: { first: 10022, last: 10022 } }],
    ['192.168.1.10:10022', { address: '192.168.1.10', protocol: 'tcp', ports: { first: 10022, last: 10022 } }],
    ['*:53/tcp+udp', { address: '', protocol: 'tcp+udp', ports: { first: 53, last: 53 } }],
    ['50000-50009/udp', { address: '', protocol: 'udp', ports: { first: 50000, last: 50009 } }],
    ['[2001:db8::1]:443/tcp', { address: '2001:db8::1', protocol: 'tcp', ports: { first: 443, last: 443 } }],
    ['[2001:DB8:0::1]:443', { address: '2001:db8::1', protocol: 'tcp', ports: { first: 443, last: 443 } }],
    ['192.168.100.3/all', { address: '192.168.100.3', protocol: 'all' }],
    ['[2001:db8::1]/all', { address: '2001:db8::1', protocol: 'all' }],
    ['2001:db8::1/all', { address: '2001:db8::1', protocol: 'all' }],
  ])('reads %s', (text, expected) => {
    expect(parseListen(text)).toEqual({ ok: true, value: expected });
  });

  it.each([
    ['0', '"0" is not a port; write a whole number from 1 to 65535'],
    ['10.0.0.1:auto-9', '"auto" is not a port'],
    ['10.0.0.1:auto/all', 'names ports'],
    ['70000', '"70000" is not a port'],
    ['50009-50000', 'is reversed; write the lower port first: 50000-50009'],
    ['1-5000', '5000 ports wide; at most 4096'],
    ['1-2-3', 'is not a port range'],
    ['8080/sctp', '"sctp" (of "8080/sctp") is not a protocol; use tcp, udp, tcp+udp or all'],
    ['8080/', '"" (of "8080/") is not a protocol'],
    ['', 'is not a listener'],
    [':8080', 'is not a listener'],
    ['192.0.2.1', 'names no port'],
    ['192.0.2.300:80', 'is not an IP address'],
    ['web:80', '"web" is not an IP address'],
    ['2001:db8::1:443', 'an IPv6 address stands in brackets'],
    ['[2001:db8::1]', 'names no port'],
    ['[]:443', 'is not an IP address'],
    ['192.0.2.1:80/all', 'names ports, but protocol all'],
    ['80/all', 'names ports, but protocol all'],
    ['*/all', 'names no address'],
    ['fe80::1%eth0/all', 'brackets'],
    ['[fe80::1%eth0]:80', 'zone'],
    ['::ffff:192.0.2.1/all', 'brackets'],
  ])('refuses %s', (text, why) => {
    const parsed = parseListen(text);
    expect(parsed.ok).toBe(false);
    if (!parsed.ok) expect(parsed.error).toContain(why);
  });

  it('reads back what the output shows, for every address, protocol and range', () => {
    fc.assert(
      fc.property(addresses, protocols, ranges, (address, protocol, ports) => {
        const listen = { address, protocol: protocol as ListenFlag['protocol'], ports };
        expect(parseListen(shown(listen))).toEqual({ ok: true, value: listen });
      }),
    );
  });

  it('never throws, and what it reads reads the same again', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[\d.:[\]/*a-f-]{0,24}$/)), (text) => {
        const parsed = parseListen(text);
        if (parsed.ok) expect(parseListen(shown(parsed.value))).toEqual(parsed);
        else expect(parsed.error).not.toBe('');
      }),
      { numRuns: 1000 },
    );
  });
});
