import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { REST, Rest, Rests } from './rests.js';

describe('Rests', () => {
  it('ends each rest once, when it is over and not before, in the order in which they began', () => {
    const step = fc.record({
      who: fc.integer({ min: 0, max: 4 }),
      what: fc.constantFrom('set', 'clear', 'turn'),
      ms: fc.double({ min: 0, max: 1.5, noNaN: true }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const rests = new Rests();
        const due = new Map<Rest, number>();
        const over: Rest[] = [];
        const all = Array.from({ length: 5 }, () => {
          const rest: Rest = new Rest(() => over.push(rest));
          return rest;
        });
        let now = 0;
        for (const { who, what, ms } of [...steps, { who: 0, what: 'turn', ms: 2 * REST }]) {
          now += ms;
          const rest = all[who] as Rest;
          due.delete(what === 'turn' ? new Rest(() => undefined) : rest);
          if (what === 'set') {
            rests.set(rest, now);
            due.set(rest, now + REST);
          } else if (what === 'clear') rests.clear(rest);
          else {
            rests.turn(now);
            const expected = [...due].filter(([, at]) => at <= now).map(([one]) => one);
            expect(over.splice(0)).toEqual(expected);
            for (const one of expected) due.delete(one);
          }
          const [next] = due.values();
          expect(rests.wait(now)).toBe(next === undefined ? undefined : Math.max(0, Math.ceil(next - now)));
        }
        expect(rests.wait(now)).toBeUndefined();
      }),
    );
  });
});
