import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DEFAULT_SETTINGS, parseGatewaySettings, parseResolver, type RawGatewaySettings } from './gateway-settings.js';

const defaults: RawGatewaySettings = { driftPolicy: 'repair', resolvers: [], dnsMinTtl: 0, dnsMaxTtl: 0 };

describe('parseGatewaySettings', () => {
  it('reads 0 as the default', () => {
    expect(parseGatewaySettings(defaults)).toEqual({ ok: true, value: DEFAULT_SETTINGS });
  });

  it('raises a ceiling that nobody named above a floor that somebody did', () => {
    expect(parseGatewaySettings({ ...defaults, dnsMinTtl: 3600 })).toMatchObject({ value: { dnsMinTtl: 3600, dnsMaxTtl: 3600 } });
    expect(parseGatewaySettings({ ...defaults, dnsMinTtl: 5, dnsMaxTtl: 5 })).toMatchObject({
      value: { dnsMinTtl: 5, dnsMaxTtl: 5 },
    });
  });

  it.each<[string, Partial<RawGatewaySettings>, string[]]>([
    ['an unknown policy', { driftPolicy: undefined }, ['settings.drift_policy']],
    ['a floor above an hour', { dnsMinTtl: 3601 }, ['settings.dns_min_ttl_seconds']],
    ['a floor of part of a second', { dnsMinTtl: 0.5 }, ['settings.dns_min_ttl_seconds']],
    ['a ceiling above a day', { dnsMaxTtl: 86_401 }, ['settings.dns_max_ttl_seconds']],
    ['a ceiling below the floor', { dnsMinTtl: 10, dnsMaxTtl: 9 }, ['settings.dns_max_ttl_seconds']],
    ['a ceiling below the default floor', { dnsMaxTtl: 4 }, ['settings.dns_max_ttl_seconds']],
    ['a server by name', { resolvers: ['10.0.0.2', 'dns.example.net'] }, ['settings.resolvers[1]']],
    ['nine servers', { resolvers: Array.from({ length: 9 }, (_, i) => `10.0.0.${i}`) }, ['settings.resolvers']],
  ])('refuses %s and names the field', (_, change, fields) => {
    const parsed = parseGatewaySettings({ ...defaults, ...change }, 'settings.');
    expect(parsed.ok ? [] : parsed.error.map((v) => v.field)).toEqual(fields);
  });
});

describe('parseResolver', () => {
  it.each([
    ['10.0.0.2', '10.0.0.2:53'],
    ['10.0.0.2:5353', '10.0.0.2:5353'],
    ['2001:DB8::53', '[2001:db8::53]:53'],
    ['[2001:db8::53]', '[2001:db8::53]:53'],
    ['[2001:db8::53]:5353', '[2001:db8::53]:5353'],
    ['::1', '[::1]:53'],
  ])('reads %s as %s', (text, expected) => {
    expect(parseResolver(text)).toEqual({ ok: true, value: expected });
  });

  it.each([
    '',
    ':53',
    '10.0.0',
    '10.0.0.2:',
    '10.0.0.2:0',
    '10.0.0.2:65536',
    '10.0.0.2:53:53',
    'dns',
    '[10.0.0.2',
    '[]:53',
    '10.0.0.2 ',
  ])('refuses %j', (text) => {
    expect(parseResolver(text)).toMatchObject({ ok: false, error: expect.stringContaining('is not a DNS server') });
  });

  it('reads back what it wrote, and never throws', () => {
    const texts = fc.oneof(
      fc.ipV4(),
      fc.ipV6(),
      fc.string(),
      fc.tuple(fc.ipV4(), fc.nat(70_000)).map(([ip, port]) => `${ip}:${port}`),
    );
    fc.assert(
      fc.property(texts, (text) => {
        const parsed = parseResolver(text);
        if (parsed.ok) expect(parseResolver(parsed.value)).toEqual(parsed);
      }),
    );
  });
});
