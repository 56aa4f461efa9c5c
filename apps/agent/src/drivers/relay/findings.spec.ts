import { expect, it } from 'vitest';
import { SortedList } from '../../planner/sorted-list.js';
import { wireForward } from '../../relay/wire-forward.js';
import { relayed } from '../../testing/relayed.js';
import { findings } from './findings.js';

const forward = relayed({ port: 80, last: 83 });
const { uid } = forward;
const carrying = (dead: readonly string[]) => ({
  carried: new Map([[uid, { uid, generation: 1, digest: wireForward(forward).digest, dead, targets: [] }]]),
  failures: new Map(),
  fresh: true,
  state: {
    hello: undefined,
    use: undefined,
    loss: undefined,
    trouble: undefined,
    upgradeTrouble: undefined,
    draining: [],
    silent: [],
  },
  now: 0,
});

it('says which listeners are not open although the relay took the forward', () => {
  const found = (dead: readonly string[]) => findings({ relayed: SortedList.from([forward]) }, carrying(dead));
  expect(found([])).toEqual([]);
  expect(found(['tcp 203.0.113.10:80'])).toEqual([
    {
      uid,
      condition: {
        type: 'Listening',
        status: 'false',
        reason: 'LISTENER_DEAD',
        message: 'the relay does not listen on tcp 203.0.113.10:80 although it should',
      },
    },
  ]);
  expect(found(['a', 'b', 'c', 'd'])[0]?.condition.message).toContain('a, b, c and 1 more');
});
