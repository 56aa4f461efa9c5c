import { describe, expect, it } from 'vitest';
import type { HostDesired, PlacedForward, ProtectedListener } from '../../planner/types.js';
import { cidr, ip, placed } from '../../testing/placed.js';
import { render } from './render.js';
import { egress, elementsBySet, placedAs, SSH, six, target, uid } from './testing.js';

const { key } = placed();
const of = (over: Partial<HostDesired>) =>
  render({ forwards: [], egresses: [], protected: [], announced: [], relayed: [], ...over });
const sets = (forward: PlacedForward) => elementsBySet(of({ forwards: [forward] }));

describe('render', () => {
  it('a listener address', () => {
    const flow = '203.0.113.10 . tcp . 443 . 10.0.0.10 . 8443';
    expect(sets(placed())).toEqual({
      'listen-at': ['203.0.113.10 . tcp . 443'],
      'to-at': [`203.0.113.10 . tcp . 443 comment "${key}:drain" : 10.0.0.10 . 8443`],
      'own-at': [`${flow} comment "${key}"`],
      'masq-at': [flow],
      answers: ['10.0.0.10 . 8443'],
    });
  });

  it('the same of IPv6', () => {
    const flow = '2001:db8::10 . tcp . 443 . fd00::10 . 8443';
    expect(sets(six(placed()))).toEqual({
      'ip6 listen-at': ['2001:db8::10 . tcp . 443'],
      'ip6 to-at': [`2001:db8::10 . tcp . 443 comment "${key}:drain" : fd00::10 . 8443`],
      'ip6 own-at': [`${flow} comment "${key}"`],
      'ip6 masq-at': [flow],
      'ip6 answers': ['fd00::10 . 8443'],
    });
  });

  it('an interface, an allow-list, the client kept', () => {
    const forward = placed({
      address: null,
      interface: 'dmz',
      allow: ['10.9.0.0/16', '192.0.2.7'],
      snat: 'none',
      hairpin: ['10.0.0.0/24'],
    });
    const flow = 'tcp . 443 . 10.0.0.10 . 8443';
    expect(sets(forward)).toEqual({
      'limit-if-any': ['"dmz" . tcp . 443'],
      'allowed-if-any': ['"dmz" . tcp . 443 . 10.9.0.0/16', '"dmz" . tcp . 443 . 192.0.2.7'],
      'refused-if-any': [`"dmz" . tcp . 443 comment "${key}"`],
      'to-if-any': [`"dmz" . tcp . 443 comment "${key}:drain" : 10.0.0.10 . 8443`],
      'own-any': [`${flow} comment "${key}"`],
      'kept-any': [flow],
      hairpin: ['10.0.0.0/24 . 10.0.0.10'],
    });
  });

  it('an allow-list that names everybody is none, and one that names nobody lets nobody in', () => {
    expect(sets(placed({ allow: ['0.0.0.0/0'] }))).toEqual(sets(placed()));
    const nobody = sets(placed({ allow: [] }));
    expect(nobody['limit-at']).toEqual(['203.0.113.10 . tcp . 443']);
    expect(nobody['allowed-at']).toBeUndefined();
  });

  it('a range that keeps its ports, of both transports', () => {
    const forward = placedAs(
      {},
      {
        listen: { address: ip('203.0.113.10'), protocol: 'tcp+udp', ports: { first: 5000, last: 5003 } },
        targets: [target('10.0.0.20:5000')],
      },
    );
    const [tcp, udp] = ['tcp', 'udp'].map((p) => `203.0.113.10 . ${p} . 5000-5003`);
    expect(sets(forward)).toEqual({
      'listen-at-range': [`${tcp}`, `${udp}`],
      'to-at-range': [`${tcp} comment "${key}:drain" : 10.0.0.20`, `${udp} comment "${key}:drain" : 10.0.0.20`],
      'own-at-range': [tcp, udp].map((way) => `${way} . 10.0.0.20 . 5000-5003 comment "${key}"`),
      'masq-at-range': [tcp, udp].map((way) => `${way} . 10.0.0.20 . 5000-5003`),
      'answers-any': ['10.0.0.20'],
    });
  });

  it('a range that moves, port by port', () => {
    const forward = placedAs(
      {},
      {
        listen: { address: ip('203.0.113.10'), protocol: 'udp', ports: { first: 5000, last: 5001 } },
        targets: [target('10.0.0.20:7000')],
      },
    );
    const all = sets(forward);
    expect(all['to-at']).toEqual([
      `203.0.113.10 . udp . 5000 comment "${key}:drain" : 10.0.0.20 . 7000`,
      `203.0.113.10 . udp . 5001 comment "${key}:drain" : 10.0.0.20 . 7001`,
    ]);
    expect(all['masq-at-range']).toEqual(['203.0.113.10 . udp . 5000-5001 . 10.0.0.20 . 7000-7001']);
  });

  it('a whole address, in both directions', () => {
    const forward = placedAs(
      { snat: 'none' },
      {
        listen: { address: ip('203.0.113.50'), protocol: 'all' },
        targets: [target('10.0.0.50')],
        ftp: { first: 21, last: 21 },
        clampMss: true,
        hairpin: [{ network: cidr('10.0.0.0/24'), target: ip('10.0.0.50') }],
      },
    );
    expect(sets(forward)).toEqual({
      'listen-vip': ['203.0.113.50'],
      'to-vip': [`203.0.113.50 comment "${key}:drain" : 10.0.0.50`],
      'own-vip': [`203.0.113.50 . 10.0.0.50 comment "${key}"`],
      'kept-vip': ['203.0.113.50 . 10.0.0.50'],
      'clamp-vip': ['203.0.113.50 . 10.0.0.50'],
      source: ['10.0.0.50 : 203.0.113.50'],
      'own-source': [`10.0.0.50 comment "${key}"`],
      'ftp-at': ['203.0.113.50 . tcp . 21'],
      hairpin: ['10.0.0.0/24 . 10.0.0.50'],
    });
  });

  it('several targets: by weight, or each client to the same', () => {
    const targets = [target('10.0.0.31:80*7'), target('10.0.0.32:81*3')];
    const weighted = sets(placedAs({}, { targets }));
    expect(weighted['pool-at']).toEqual([`203.0.113.10 . tcp . 443 comment "${key}:drain" : goto pool/${key}`]);
    expect(weighted['pool-chains']).toEqual([
      `pool/${key}: meta l4proto { tcp, udp } dnat to numgen random mod 10 map { 0-6 : 10.0.0.31 . 80, 7-9 : 10.0.0.32 . 81 }`,
    ]);
    expect(weighted['own-at']).toHaveLength(2);
    expect(weighted['to-at']).toBeUndefined();
    const [chain = ''] = sets(placedAs({}, { targets, affinity: 'client' }))['pool-chains'] ?? [];
    expect(chain).toMatch(/dnat to jhash ip saddr mod 256 seed 0x[0-9a-f]+ map \{ 0/);
    expect(chain).toMatch(/255 : 10\.0\.0\.3[12] \. 8[01] \}$/);
  });

  it('several targets of a range that moves: first the target, then its port', () => {
    const listen = { address: ip('203.0.113.10'), protocol: 'udp' as const, ports: { first: 5000, last: 5001 } };
    const forward = placedAs({}, { listen, targets: [target('10.0.0.31:7000'), target('10.0.0.32:5000')] });
    expect(sets(forward)['pool-chains']).toEqual([
      `pool/${key}: numgen random mod 2 vmap { 0 : goto pool/${key}/0, 1 : goto pool/${key}/1 }`,
      `pool/${key}/0: meta l4proto { tcp, udp } dnat to 10.0.0.31 : th dport map { 5000 : 7000, 5001 : 7001 }`,
      `pool/${key}/1: meta l4proto { tcp, udp } dnat to 10.0.0.32`,
    ]);
  });

  it('egress: masqueraded or fixed, with what is left alone', () => {
    expect(elementsBySet(of({ egresses: [egress()] }))).toEqual({
      'egress-own': ['"wan" . 10.0.0.0/24 comment "e0000001"'],
      'egress-masq': ['"wan" . 10.0.0.0/24 comment "e0000001"'],
      'egress-except': ['"wan" . 10.0.0.0/24 . 10.0.0.0/8', '"wan" . 10.0.0.0/24 . 224.0.0.0/4'],
    });
    const fixed = egress({ snat: { mode: 'address', address: ip('203.0.113.10') }, except: [] });
    expect(elementsBySet(of({ egresses: [fixed] }))['egress-fixed']).toEqual([
      '"wan" . 10.0.0.0/24 comment "e0000001" : 203.0.113.10',
    ]);
  });

  it('protected listeners where something is forwarded, each once', () => {
    const control: ProtectedListener = {
      kind: 'control',
      protocol: 'tcp',
      address: ip('192.0.2.1'),
      port: 7443,
      reason: 'control',
    };
    const guarded = [SSH, SSH, control, { ...control, address: ip('fd00::1') }];
    const only = (host: ReturnType<typeof of>) =>
      Object.fromEntries(Object.entries(elementsBySet(host)).filter(([set]) => set.includes('protected')));
    expect(only(of({ forwards: [placed()], protected: guarded }))).toEqual({
      'protected-any': ['tcp . 22'],
      'protected-at': ['192.0.2.1 . tcp . 7443'],
    });
    expect(only(of({ forwards: [six(placed())], protected: guarded }))).toEqual({
      'ip6 protected-any': ['tcp . 22'],
      'ip6 protected-at': ['fd00::1 . tcp . 7443'],
    });
    expect(only(of({ protected: guarded }))).toEqual({});
    const announced = [{ address: ip('198.51.100.50'), interface: 'wan', forwards: [key] }];
    expect(elementsBySet(of({ forwards: [placed()], announced })).announced).toEqual(['198.51.100.50']);
  });

  it('takes over what is the same object', () => {
    const forwards = [placed(), placed({ uid: uid(2), port: 444 })];
    const first = of({ forwards });
    const third = placed({ uid: uid(3), port: 445 });
    const second = render({ forwards: [...forwards, third], egresses: [], protected: [], announced: [], relayed: [] }, first);
    expect([...second.forwardParts].slice(0, 2)).toEqual([...first.forwardParts]);
    for (const part of first.forwardParts) expect(second.forwardParts.get(part.uid)).toBe(part);
    expect(elementsBySet(second)).toEqual(elementsBySet(of({ forwards: [...forwards, third] })));
  });
});
