import { describe, expect, it } from 'vitest';
import { parseListing, saysDormant } from './listing.js';

const table = { table: { family: 'ip', name: 'gwctl', handle: 1 } };
const text = (...objects: unknown[]) =>
  JSON.stringify({ nftables: [{ metainfo: { version: '1.0.6', json_schema_version: 1 } }, ...objects] });
const of = { family: 'ip', table: 'gwctl', handle: 7 };

/** Everything here is as nft 1.0.6 printed it. */
describe('parseListing', () => {
  it('reads elements as nft would write them', () => {
    const listing = parseListing(
      text(
        table,
        {
          map: {
            ...of,
            name: 'to-if-any',
            type: ['ifname', 'inet_proto', 'inet_service'],
            map: 'ipv4_addr . inet_service',
            elem: [
              [{ elem: { val: { concat: ['eth0', 'tcp', 443] }, comment: '9f1c2ab0:drain' } }, { concat: ['10.0.0.10', 8443] }],
            ],
          },
        },
        {
          map: {
            ...of,
            name: 'listen-at',
            type: ['ipv4_addr', 'inet_proto', 'inet_service'],
            map: 'verdict',
            elem: [[{ concat: ['203.0.113.10', 'udp', 53] }, { jump: { target: 'open' } }]],
          },
        },
        {
          map: {
            ...of,
            name: 'fixed-any',
            type: ['inet_proto', 'inet_service', 'ipv4_addr', 'inet_service'],
            map: 'ipv4_addr',
            elem: [[{ concat: ['tcp', 443, '10.0.0.10', 8443] }, '10.0.0.2']],
          },
        },
        {
          set: {
            ...of,
            name: 'allowed-at',
            type: ['ipv4_addr', 'inet_proto', 'inet_service', 'ipv4_addr'],
            flags: ['interval'],
            elem: [
              { concat: ['203.0.113.10', 'tcp', 443, { prefix: { addr: '198.51.100.0', len: 26 } }] },
              { concat: ['203.0.113.10', 'tcp', 443, '192.0.2.7'] },
              { concat: ['203.0.113.10', 'tcp', 443, { range: ['192.0.2.8', '192.0.2.10'] }] },
            ],
          },
        },
      ),
      'gwctl',
    );
    const elements = (set: string) => [...(listing?.sets.get(set)?.elements ?? [])].map(([key, suffix]) => key + suffix);
    expect(elements('to-if-any')).toEqual(['"eth0" . tcp . 443 comment "9f1c2ab0:drain" : 10.0.0.10 . 8443']);
    expect(elements('listen-at')).toEqual(['203.0.113.10 . udp . 53 : jump open']);
    expect(elements('fixed-any')).toEqual(['tcp . 443 . 10.0.0.10 . 8443 : 10.0.0.2']);
    expect(elements('allowed-at')).toEqual([
      '203.0.113.10 . tcp . 443 . 198.51.100.0/26',
      '203.0.113.10 . tcp . 443 . 192.0.2.7',
      '203.0.113.10 . tcp . 443 . 192.0.2.8-192.0.2.10',
    ]);
  });

  it('leaves out what changes by itself', () => {
    const chain = { chain: { ...of, name: 'open' } };
    const rule = (handle: number, packets: number, protocols: readonly string[]) => ({
      rule: {
        ...of,
        handle,
        chain: 'open',
        expr: [
          { match: { op: '==', left: { meta: { key: 'l4proto' } }, right: { set: protocols } } },
          { counter: { packets, bytes: packets * 60 } },
          { drop: null },
        ],
      },
    });
    const one = parseListing(text(table, chain, rule(4, 0, ['tcp', 'udp'])), 'gwctl');
    const other = parseListing(text(table, chain, rule(9, 17, ['udp', 'tcp'])), 'gwctl');
    expect(one).toEqual(other);
    expect(one?.chains.get('open')?.rules).toHaveLength(1);
  });

  it('tells hooks, flags and foreign objects', () => {
    const listing = parseListing(
      text(
        { table: { ...table.table, flags: 'dormant' } },
        { chain: { ...of, name: 'pre-nat', type: 'nat', hook: 'prerouting', prio: -105, policy: 'accept' } },
        { 'ct helper': { ...of, name: 'ftp', type: 'ftp', protocol: 'tcp', l3proto: 'ip' } },
      ),
      'gwctl',
    );
    expect(listing?.flags).toBe(true);
    expect(listing?.chains.get('pre-nat')?.hook).toBe('nat prerouting -105 accept');
    expect(listing?.others).toEqual(['ct helper ftp']);
  });

  it('knows a table only by its name, and refuses what is no listing', () => {
    expect(parseListing(text({ table: { family: 'ip', name: 'other', handle: 1 } }), 'gwctl')).toBeUndefined();
    for (const bad of ['', '[]', '{"nftables":[1]}', '{"nftables":[{"set":null}]}'])
      expect(() => parseListing(bad, 'gwctl')).toThrow(/does not understand/);
  });

  it('finds a table that is switched off in text', () => {
    expect(saysDormant('table ip gwctl {\n\tflags dormant\n\n\tchain a {\n\t}\n}\n')).toBe(true);
    expect(saysDormant('table ip gwctl {\n\tset a {\n\t\tflags interval\n\t}\n}\n')).toBe(false);
  });
});
