import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Cidr, contains, formatCidr, isNarrower, mergeCidrs, networkOf, parseCidr, parseIp } from './ip.js';

const octet = fc.integer({ min: 0, max: 255 });
const v4 = fc.tuple(octet, octet, octet, octet).map((o) => o.join('.'));
const v4Network = fc.tuple(v4, fc.integer({ min: 0, max: 32 })).map(([text, prefix]) => networkOf(ip(text), prefix));

function ip(text: string) {
  const parsed = parseIp(text);
  if (!parsed.ok) throw new Error(parsed.error);
  return parsed.value;
}

describe('parseIp', () => {
  it('takes every dotted quad as it is', () => {
    fc.assert(fc.property(v4, (text) => void expect(ip(text)).toMatchObject({ family: 4, text })));
  });

  it('gives IPv6 its canonical form (RFC 5952)', () => {
    expect(ip('2001:DB8:0:0:0:0:0:1').text).toBe('2001:db8::1');
    fc.assert(
      fc.property(fc.ipV6(), (text) => {
        const parsed = parseIp(text);
        if (parsed.ok) expect(ip(parsed.value.text)).toEqual(parsed.value);
      }),
    );
  });

  it.each([
    '',
    '1.2.3',
    '1.2.3.4.5',
    '256.1.1.1',
    '01.2.3.4',
    '0x7f.1',
    '1',
    '::ffff:1.2.3.4',
    'fe80::1%eth0',
    ' 1.2.3.4',
    '1.2.3.4\n',
    'localhost',
    ':::',
  ])('refuses %j and quotes it', (text) => {
    const parsed = parseIp(text);
    expect(parsed.ok).toBe(false);
    if (!parsed.ok) expect(parsed.error).toContain(JSON.stringify(text));
  });

  it('never throws, whatever it is given', () => {
    fc.assert(fc.property(fc.string(), (text) => void parseIp(text)));
  });
});

describe('parseCidr', () => {
  it('reads back what it wrote', () => {
    fc.assert(fc.property(v4Network, (cidr) => void expect(parseCidr(formatCidr(cidr))).toEqual({ ok: true, value: cidr })));
  });

  it('takes a bare address as a network of one', () => {
    expect(parseCidr('192.168.1.20')).toMatchObject({ ok: true, value: { network: '192.168.1.20', prefix: 32 } });
    expect(parseCidr('2001:db8::1')).toMatchObject({ ok: true, value: { prefix: 128 } });
  });

  it('refuses host bits and says what was probably meant', () => {
    expect(parseCidr('192.168.1.5/24')).toEqual({
      ok: false,
      error: '"192.168.1.5/24" has host bits set; write 192.168.1.0/24 for the network or 192.168.1.5/32 for the one address',
    });
  });

  it.each(['10.0.0.0/33', '10.0.0.0/-1', '10.0.0.0/08', '10.0.0.0/', '10.0.0.0/8/8', '/8', '::/129', 'x/8'])(
    'refuses %j',
    (text) => {
      expect(parseCidr(text).ok).toBe(false);
    },
  );
});

describe('mergeCidrs', () => {
  const covered = (cidrs: readonly Cidr[], text: string) => cidrs.some((c) => contains(c, ip(text)));

  it('covers exactly the same addresses, without overlaps', () => {
    fc.assert(
      fc.property(fc.array(v4Network, { maxLength: 12 }), v4, (cidrs, probe) => {
        const merged = mergeCidrs(cidrs);
        expect(covered(merged, probe)).toBe(covered(cidrs, probe));
        for (const a of merged)
          for (const b of merged) if (a !== b) expect(contains(a, ip(b.network)) && a.prefix <= b.prefix).toBe(false);
      }),
    );
  });

  it('does not depend on order', () => {
    fc.assert(
      fc.property(
        fc.array(v4Network, { maxLength: 8 }),
        (cidrs) => void expect(mergeCidrs([...cidrs].reverse())).toEqual(mergeCidrs(cidrs)),
      ),
    );
  });
});

describe('isNarrower', () => {
  const admits = (cidrs: readonly Cidr[] | undefined, text: string) => !cidrs || cidrs.some((c) => contains(c, ip(text)));
  const list = fc.option(fc.array(v4Network, { maxLength: 5 }), { nil: undefined });

  it('is true where an address that was let in no longer is', () => {
    fc.assert(
      fc.property(list, list, v4, (before, after, probe) => {
        if (admits(before, probe) && !admits(after, probe)) expect(isNarrower(after, before)).toBe(true);
      }),
    );
  });

  it('is false for the same list, for a longer one, and for anyone', () => {
    fc.assert(
      fc.property(list, list, (before, more) => {
        expect(isNarrower(before, before)).toBe(false);
        if (before) expect(isNarrower([...before, ...(more ?? [])], before)).toBe(false);
        expect(isNarrower(undefined, before)).toBe(false);
        expect(isNarrower([], before)).toBe(before === undefined || before.length > 0);
      }),
    );
  });
});
