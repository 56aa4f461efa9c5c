import { describe, expect, it } from 'vitest';
import type { PlacedForward, ProtectedListener } from '../../planner/types.js';
import { ip, placed } from '../../testing/placed.js';
import { render } from './render.js';
import { SSH } from './testing.js';

const { key } = placed();

describe('render', () => {
  const sets = (forward: PlacedForward) => {
    const all = render({ forwards: [forward], protected: [] }).sets;
    return Object.fromEntries([...all].flatMap(([n, e]) => (e.size > 0 ? [[n, [...e].map(([k, v]) => k + v.suffix)]] : [])));
  };

  it('a listener address', () => {
    expect(sets(placed())).toEqual({
      'listen-at': ['203.0.113.10 . tcp . 443 : jump open'],
      'to-at': [`203.0.113.10 . tcp . 443 comment "${key}:drain" : 10.0.0.10 . 8443`],
      'own-at': ['203.0.113.10 . tcp . 443 . 10.0.0.10 . 8443'],
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
    expect(sets(forward)).toEqual({
      'listen-if-any': ['"dmz" . tcp . 443 : jump guarded-if-any'],
      'allowed-if-any': ['"dmz" . tcp . 443 . 10.9.0.0/16', '"dmz" . tcp . 443 . 192.0.2.7'],
      'to-if-any': [`"dmz" . tcp . 443 comment "${key}:drain" : 10.0.0.10 . 8443`],
      'own-any': ['tcp . 443 . 10.0.0.10 . 8443'],
      'kept-any': ['tcp . 443 . 10.0.0.10 . 8443'],
      hairpin: ['10.0.0.0/24 . 10.0.0.10'],
    });
  });

  it('an allow-list that names everybody is none', () => {
    expect(sets(placed({ allow: ['0.0.0.0/0'] }))).toEqual(sets(placed()));
  });

  it('protected listeners of IPv4, each once', () => {
    const control: ProtectedListener = {
      kind: 'control',
      protocol: 'tcp',
      address: ip('192.0.2.1'),
      port: 7443,
      reason: 'control',
    };
    const all = render({
      forwards: [placed()],
      protected: [SSH, SSH, control, { ...control, address: ip('fd00::1') }],
    }).sets;
    expect([...(all.get('protected-any')?.keys() ?? [])]).toEqual(['tcp . 22']);
    expect([...(all.get('protected-at')?.keys() ?? [])]).toEqual(['192.0.2.1 . tcp . 7443']);
  });
});
