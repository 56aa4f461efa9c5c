import { AppError } from '@gwctl/shared/errors/app-error';
import { beforeEach, describe, expect, it } from 'vitest';
import type { PlacedForward } from '../../planner/types.js';
import { placed } from '../../testing/placed.js';
import { MemoryHost, uid } from './testing.js';

let host: MemoryHost;
beforeEach(() => {
  host = new MemoryHost();
});

describe('flows', () => {
  const listener = { protocol: 'udp', address: '203.0.113.10', port: 443 };
  const target = { address: '10.0.0.10', port: 8443 };
  const way = { ...listener, to: target };
  const udp = { protocol: 'udp' } as const;
  const cases: [string, PlacedForward | undefined, PlacedForward | undefined, unknown[]][] = [
    ['tcp added', undefined, placed(), []],
    ['udp added: what was there and goes elsewhere', undefined, placed(udp), [{ ...listener, notTo: target }]],
    ['tcp target changed, drain', placed(), placed({ target: '10.0.0.20' }), []],
    ['tcp target changed, cut', placed(), placed({ target: '10.0.0.20', onChange: 'cut' }), [{ ...way, protocol: 'tcp' }]],
    ['udp target changed, drain: UDP moves', placed(udp), placed({ ...udp, target: '10.0.0.20' }), [way]],
    ['udp target changed, keep', placed(udp), placed({ ...udp, target: '10.0.0.20', onChange: 'keep' }), []],
    ['tcp removed, drain', placed(), undefined, []],
    ['tcp removed, cut', placed({ onChange: 'cut' }), undefined, [{ ...way, protocol: 'tcp' }]],
    ['udp removed, drain', placed(udp), undefined, [way]],
    ['udp removed, keep', placed({ ...udp, onChange: 'keep' }), undefined, []],
    ['udp listener changed', placed(udp), placed({ ...udp, port: 444 }), [way, { ...listener, port: 444, notTo: target }]],
    [
      'allow-list tightened, even with keep',
      placed({ onChange: 'keep' }),
      placed({ onChange: 'keep', allow: ['10.9.0.0/16'] }),
      [{ ...way, protocol: 'tcp', sourcesOutside: ['10.9.0.0/16'] }],
    ],
    ['allow-list widened', placed({ allow: ['10.9.0.0/16'] }), placed({ allow: ['10.0.0.0/8'] }), []],
    ['source address changed, drain', placed(), placed({ snat: 'none' }), []],
    ['source address changed, cut', placed(), placed({ snat: 'none', onChange: 'cut' }), [{ ...way, protocol: 'tcp' }]],
    ['nothing changed', placed({ onChange: 'cut', snat: '10.0.0.1' }), placed({ onChange: 'cut', snat: '10.0.0.1' }), []],
  ];
  it.each(cases)('%s', async (_, before, after, expected) => {
    const stays = placed({ uid: uid(9), port: 9 });
    await host.reconcile(before ? [before, stays] : [stays]);
    host.flows.asked.length = 0;
    await host.driver.observe();
    await host.reconcile(after ? [after, stays] : [stays]);
    expect(host.flows.asked).toEqual(expected);
  });

  it('that cannot be removed are a condition, not a failure', async () => {
    host.flows.failure = new AppError({ code: 'FAILED_PRECONDITION', reason: 'PROGRAM_MISSING', message: 'install conntrack' });
    await host.reconcile([placed({ protocol: 'udp' })]);
    const mirror = host.driver.mirror();
    expect(mirror && host.driver.conditions(mirror)[1]).toMatchObject({
      type: 'FlowCleanUp',
      status: 'false',
      message: expect.stringContaining('install conntrack'),
    });
  });
});
