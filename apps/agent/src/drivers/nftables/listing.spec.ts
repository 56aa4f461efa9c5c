import { describe, expect, it } from 'vitest';
import { NOTHING_EXPECTED, parseListing, saysDormant } from './listing.js';
import { POOL_CHAINS, type SetName, type SetSpec, setOf } from './sets.js';

const table = { table: { family: 'ip', name: 'gwctl', handle: 1 } };
const text = (...objects: unknown[]) =>
  JSON.stringify({ nftables: [{ metainfo: { version: '1.0.6', json_schema_version: 1 } }, ...objects] });
const OURS = { family: 4, name: 'gwctl', expected: NOTHING_EXPECTED } as const;
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
            name: 'pool-at',
            type: ['ipv4_addr', 'inet_proto', 'inet_service'],
            map: 'verdict',
            elem: [[{ concat: ['203.0.113.10', 'udp', 53] }, { goto: { target: 'pool/9f1c2ab0' } }]],
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
      OURS,
    );
    const elements = (set: SetName) => [...(listing?.patch.get(setOf(4, set)) ?? [])].map(([key, { is }]) => key + is);
    expect(elements('to-if-any')).toEqual(['"eth0" . tcp . 443 comment "9f1c2ab0:drain" : 10.0.0.10 . 8443']);
    expect(elements('pool-at')).toEqual(['203.0.113.10 . udp . 53 : goto pool/9f1c2ab0']);
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
    const one = parseListing(text(table, chain, rule(4, 0, ['tcp', 'udp'])), OURS);
    const other = parseListing(text(table, chain, rule(9, 17, ['udp', 'tcp'])), OURS);
    expect(one).toEqual(other);
    expect(one?.chains.get('open')?.rules).toHaveLength(1);
  });

  it('keeps of elements only what is not as expected', () => {
    const element = (port: number, comment: string) => ({ elem: { val: { concat: ['10.0.0.1', 'tcp', port] }, comment } });
    const value = { concat: ['10.0.0.10', 8443] };
    const name = 'to-at';
    const map = { ...of, name, type: [], map: '', elem: [1, 2, 3].map((port) => [element(port, '9f1c2ab0:drain'), value]) };
    const suffix = ' comment "9f1c2ab0:drain" : 10.0.0.10 . 8443';
    const there = new Map([
      ['10.0.0.1 . tcp . 1', suffix],
      ['10.0.0.1 . tcp . 2', suffix.replace('drain', 'cut')],
      ['10.0.0.1 . tcp . 4', suffix],
    ]);
    const expected = { size: 3, take: (set: SetSpec) => (set.name === name ? there : undefined) };
    const listing = parseListing(text(table, { map }), { ...OURS, expected });
    expect([...(listing?.patch.get(setOf(4, name)) ?? [])]).toEqual([
      ['10.0.0.1 . tcp . 2', { is: suffix, was: suffix.replace('drain', 'cut') }],
      ['10.0.0.1 . tcp . 3', { is: suffix }],
      ['10.0.0.1 . tcp . 4', { was: suffix }],
    ]);
  });

  it('reads the chains of pools as they were written', () => {
    const transports = { match: { op: '==', left: { meta: { key: 'l4proto' } }, right: { set: ['udp', 'tcp'] } } };
    const numgen = { numgen: { mode: 'random', mod: 3, offset: 0 } };
    const jhash = { jhash: { mod: 256, seed: 1735877492, expr: { payload: { protocol: 'ip6', field: 'saddr' } } } };
    const rules: [string, unknown[]][] = [
      [
        'meta l4proto { tcp, udp } dnat to numgen random mod 3 map { 0 : 10.0.0.1 . 80, 1-2 : 10.0.0.2 . 81 }',
        [
          transports,
          {
            dnat: {
              family: 'ip',
              addr: {
                map: {
                  key: numgen,
                  data: {
                    set: [
                      [{ range: [1, 2] }, { concat: ['10.0.0.2', 81] }],
                      [0, { concat: ['10.0.0.1', 80] }],
                    ],
                  },
                },
              },
            },
          },
        ],
      ],
      [
        'meta l4proto { tcp, udp } dnat to jhash ip6 saddr mod 256 seed 0x67776374 map { 0 : fd00::1, 1-255 : fd00::2 }',
        [
          transports,
          {
            dnat: {
              addr: {
                map: {
                  key: jhash,
                  data: {
                    set: [
                      [0, 'fd00::1'],
                      [{ range: [1, 255] }, 'fd00::2'],
                    ],
                  },
                },
              },
            },
          },
        ],
      ],
      [
        'numgen random mod 3 vmap { 0 : goto pool/a/0, 1-2 : goto pool/a/1 }',
        [
          {
            vmap: {
              key: numgen,
              data: {
                set: [
                  [0, { goto: { target: 'pool/a/0' } }],
                  [{ range: [1, 2] }, { goto: { target: 'pool/a/1' } }],
                ],
              },
            },
          },
        ],
      ],
      [
        'meta l4proto { tcp, udp } dnat to [fd00::1] : th dport map { 5000 : 7000, 5001 : 7001 }',
        [
          transports,
          {
            dnat: {
              addr: 'fd00::1',
              port: {
                map: {
                  key: { payload: { protocol: 'th', field: 'dport' } },
                  data: {
                    set: [
                      [5000, 7000],
                      [5001, 7001],
                    ],
                  },
                },
              },
            },
          },
        ],
      ],
      ['meta l4proto { tcp, udp } dnat to 10.0.0.9', [transports, { dnat: { addr: '10.0.0.9' } }]],
    ];
    for (const [written, expr] of rules) {
      const listing = parseListing(
        text(table, { chain: { ...of, name: 'pool/a' } }, { rule: { ...of, chain: 'pool/a', expr } }),
        OURS,
      );
      expect(listing?.patch.get(POOL_CHAINS[4])?.get('pool/a')).toEqual({ is: written });
    }
    const other = { rule: { ...of, chain: 'pool/a', expr: [{ drop: null }] } };
    const listing = parseListing(text(table, { chain: { ...of, name: 'pool/a' } }, other), OURS);
    expect(listing?.patch.get(POOL_CHAINS[4])?.get('pool/a')).toEqual({ is: '[{"drop":null}]' });
  });

  it('tells hooks, flags and foreign objects', () => {
    const listing = parseListing(
      text(
        { table: { ...table.table, flags: 'dormant' } },
        { chain: { ...of, name: 'pre-nat', type: 'nat', hook: 'prerouting', prio: -105, policy: 'accept' } },
        { 'ct helper': { ...of, name: 'ftp', type: 'ftp', protocol: 'tcp', l3proto: 'ip' } },
      ),
      OURS,
    );
    expect(listing?.flags).toBe(true);
    expect(listing?.chains.get('pre-nat')?.hook).toBe('nat prerouting -105 accept');
    expect(listing?.others).toEqual(['ct helper ftp']);
  });

  it('knows a table only by its name, and refuses what is no listing', () => {
    expect(parseListing(text({ table: { family: 'ip', name: 'other', handle: 1 } }), OURS)).toBeUndefined();
    for (const bad of ['', '[]', '{"nftables":[1]}', '{"nftables":[{"set":null}]}'])
      expect(() => parseListing(bad, OURS)).toThrow(/does not understand/);
  });

  it('finds a table that is switched off in text', () => {
    expect(saysDormant('table ip gwctl {\n\tflags dormant\n\n\tchain a {\n\t}\n}\n')).toBe(true);
    expect(saysDormant('table ip gwctl {\n\tset a {\n\t\tflags interval\n\t}\n}\n')).toBe(false);
  });
});
