import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type EgressSpec, egressesConflict, familyOfEgress, parseEgressSpec, type RawEgressSpec } from './egress.js';
import { contains, formatCidr, parseIp } from './ip.js';

const good: RawEgressSpec = {
  sources: ['10.0.0.0/16'],
  outInterface: 'eth0',
  snat: { mode: 'masquerade', address: '' },
  exceptDestinations: ['172.16.0.0/12'],
  enabled: true,
};

const fieldsOf = (change: Partial<RawEgressSpec>): readonly string[] => {
  const parsed = parseEgressSpec({ ...good, ...change }, 'spec.');
  return parsed.ok ? [] : parsed.error.map((v) => v.field);
};

describe('parseEgressSpec', () => {
  it('takes what an inside network needs', () => {
    expect(parseEgressSpec(good)).toMatchObject({
      ok: true,
      value: { outInterface: 'eth0', snat: { mode: 'masquerade' }, enabled: true },
    });
    expect(parseEgressSpec({ ...good, snat: undefined })).toMatchObject({ ok: true, value: { snat: { mode: 'masquerade' } } });
    expect(parseEgressSpec({ ...good, snat: { mode: 'auto', address: '' } })).toMatchObject({
      ok: true,
      value: { snat: { mode: 'masquerade' } },
    });
    expect(parseEgressSpec({ ...good, snat: { mode: 'address', address: '203.0.113.10' } })).toMatchObject({
      ok: true,
      value: { snat: { mode: 'address', address: { text: '203.0.113.10' } } },
    });
  });

  it('leaves out what another network covers, and sorts', () => {
    const parsed = parseEgressSpec({
      ...good,
      sources: ['10.2.0.0/16', '10.1.4.0/24', '10.1.0.0/16', '10.1.0.0/16', '10.1.9.9'],
    });
    expect(parsed.ok && parsed.value.sources.map(formatCidr)).toEqual(['10.1.0.0/16', '10.2.0.0/16']);
  });

  it.each<[string, Partial<RawEgressSpec>, string[]]>([
    ['no source', { sources: [] }, ['spec.sources']],
    ['everybody', { sources: ['0.0.0.0/0'] }, ['spec.sources[0]']],
    ['every IPv6 address', { sources: ['::/0'], exceptDestinations: [] }, ['spec.sources[0]']],
    ['host bits', { sources: ['10.0.0.1/16'] }, ['spec.sources[0]']],
    ['a name as a source', { sources: ['lan.example.net'] }, ['spec.sources[0]']],
    ['both families', { sources: ['10.0.0.0/8', '2001:db8::/32'] }, ['spec.sources[1]']],
    ['too many sources', { sources: Array.from({ length: 65 }, (_, i) => `10.${i}.0.0/16`) }, ['spec.sources']],
    ['an exception of the other family', { exceptDestinations: ['2001:db8::/32'] }, ['spec.except_destinations[0]']],
    ['no interface', { outInterface: '' }, ['spec.out_interface']],
    ['an interface with a quote', { outInterface: 'eth0"; flush' }, ['spec.out_interface']],
    ['no translation', { snat: { mode: 'none', address: '' } }, ['spec.snat.mode']],
    ['an unknown way to translate', { snat: { mode: undefined, address: '' } }, ['spec.snat.mode']],
    ['an address without its mode', { snat: { mode: 'masquerade', address: '10.0.0.1' } }, ['spec.snat.address']],
    ['a fixed address that is missing', { snat: { mode: 'address', address: '' } }, ['spec.snat.address']],
    ['the unspecified address as the fixed one', { snat: { mode: 'address', address: '0.0.0.0' } }, ['spec.snat.address']],
    ['multicast as the fixed address', { snat: { mode: 'address', address: '239.1.1.1' } }, ['spec.snat.address']],
    ['a name as the fixed address', { snat: { mode: 'address', address: 'out.example.net' } }, ['spec.snat.address']],
    ['a fixed address of the other family', { snat: { mode: 'address', address: '2001:db8::1' } }, ['spec.snat.address']],
  ])('refuses %s and names the field', (_, change, fields) => {
    expect(fieldsOf(change)).toEqual(fields);
  });

  it('reports every violation at once, and never throws', () => {
    expect(fieldsOf({ sources: [], outInterface: '', snat: { mode: 'none', address: '' } }).length).toBe(3);
    const text = fc.oneof(fc.string(), fc.constantFrom('10.0.0.0/8', '2001:db8::/32', '1.2.3.4', 'eth0'));
    fc.assert(
      fc.property(fc.array(text), fc.array(text), text, text, (sources, exceptDestinations, outInterface, address) => {
        const parsed = parseEgressSpec({
          ...good,
          sources,
          exceptDestinations,
          outInterface,
          snat: { mode: 'address', address },
        });
        if (parsed.ok)
          expect(new Set(parsed.value.sources.map((s) => s.family))).toEqual(new Set([familyOfEgress(parsed.value)]));
      }),
    );
  });
});

describe('egressesConflict', () => {
  const arbitrary: fc.Arbitrary<EgressSpec> = fc
    .record({
      outInterface: fc.constantFrom('eth0', 'eth1'),
      sources: fc.array(fc.constantFrom('10.0.0.0/30', '10.0.0.0/31', '10.0.0.2/31', '10.0.0.3', '10.0.0.4/30'), {
        minLength: 1,
      }),
    })
    .map((parts) => {
      const parsed = parseEgressSpec({ ...good, ...parts });
      if (!parsed.ok) throw new Error(JSON.stringify(parsed.error));
      return parsed.value;
    });
  const addresses = Array.from({ length: 8 }, (_, i) => parseIp(`10.0.0.${i}`)).flatMap((ip) => (ip.ok ? [ip.value] : []));

  /** The definition spelled out: some packet has its source translated by both. */
  const both = (a: EgressSpec, b: EgressSpec) =>
    a.outInterface === b.outInterface &&
    addresses.some((ip) => a.sources.some((s) => contains(s, ip)) && b.sources.some((s) => contains(s, ip)));

  it('is true exactly when one packet could belong to both, and symmetric', () => {
    fc.assert(
      fc.property(arbitrary, arbitrary, (a, b) => {
        expect(egressesConflict(a, b)).toBe(both(a, b));
        expect(egressesConflict(b, a)).toBe(both(a, b));
      }),
    );
  });
});
