import { beforeEach, describe, expect, it } from 'vitest';
import { placed } from '../../testing/placed.js';
import { MemoryHost, uid } from './testing.js';

const { key } = placed();

let host: MemoryHost;
beforeEach(() => {
  host = new MemoryHost();
});

describe('drift', () => {
  const two = [placed({ allow: ['10.9.0.0/16'] }), placed({ uid: uid(2), port: 444 })];
  const cases: [string, string[], [string, string, number][]][] = [
    ['everything flushed', ['flush ruleset'], [['missing', 'gwctl', 0]]],
    ['a forward taken out', ['delete element ip gwctl to-at { 203.0.113.10 . tcp . 443 }'], [['missing', 'gwctl/to-at', 1]]],
    [
      'a target changed',
      [
        'delete element ip gwctl to-at { 203.0.113.10 . tcp . 443 }',
        `add element ip gwctl to-at { 203.0.113.10 . tcp . 443 comment "${key}:drain" : 10.0.0.66 . 8443 }`,
      ],
      [['altered', 'gwctl/to-at', 1]],
    ],
    [
      'somebody let in',
      ['add element ip gwctl allowed-at { 203.0.113.10 . tcp . 443 . 192.0.2.0/24 }'],
      [['foreign', 'gwctl/allowed-at', 0]],
    ],
    ['a rule put before ours', ['insert rule ip gwctl dispatch return'], [['foreign', 'gwctl/dispatch', 0]]],
    ['a chain flushed', ['flush chain ip gwctl dispatch'], [['missing', 'gwctl/dispatch', 0]]],
    ['a rule changed', ['flush chain ip gwctl pre-nat', 'add rule ip gwctl pre-nat return'], [['altered', 'gwctl/pre-nat', 0]]],
    [
      'a policy changed',
      ['add chain ip gwctl fwd-mark { type filter hook forward priority -5; policy drop; }'],
      [['altered', 'gwctl/fwd-mark', 0]],
    ],
    ['a foreign chain', ['add chain ip gwctl mine'], [['foreign', 'gwctl/mine', 0]]],
    ['a foreign set', ['add set ip gwctl mine { type ipv4_addr; }'], [['foreign', 'gwctl/mine', 0]]],
    ['the table switched off', ['add table ip gwctl { flags dormant; }'], [['altered', 'gwctl', 0]]],
    ['closed to others', ['add rule ip gwctl closed counter drop'], [['foreign', 'gwctl/closed', 0]]],
    [
      'another version',
      ['flush chain ip gwctl state', 'add rule ip gwctl state return comment "gwctl/0"'],
      [['altered', 'gwctl/state', 0]],
    ],
  ];
  it.each(cases)('%s', async (_, lines, expected) => {
    const { rendered } = await host.reconcile(two);
    host.nft.meddle(...lines);
    const found = host.driver.drift(rendered, await host.driver.observe());
    expect(found.map((f) => [f.drift.cause, f.drift.object, f.forwards.length])).toEqual(expected);
    await host.reconcile(two);
    expect(host.driver.drift(rendered, await host.driver.observe())).toEqual([]);
    expect((await host.reconcile(two)).plan.steps).toEqual([]);
  });

  it('names what was found, and whose it is', async () => {
    const { rendered } = await host.reconcile(two);
    host.nft.meddle('delete element ip gwctl to-at { 203.0.113.10 . tcp . 443 }');
    expect(host.driver.drift(rendered, await host.driver.observe())).toEqual([
      {
        forwards: [uid(1)],
        drift: {
          cause: 'missing',
          object: 'gwctl/to-at',
          message: '1 element is gone: 203.0.113.10 . tcp . 443',
          detected: 1000,
        },
      },
    ]);
  });
});
