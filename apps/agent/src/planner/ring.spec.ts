import { describe, expect, it } from 'vitest';
import { ip } from '../testing/placed.js';
import { ring } from './ring.js';
import type { PlacedTarget } from './types.js';

const target = (n: number, weight = 1): PlacedTarget => ({ address: ip(`10.0.0.${n}`), port: 80, weight });
const shares = (slots: readonly number[], count: number) =>
  Array.from({ length: count }, (_, i) => slots.filter((s) => s === i).length);

describe('ring', () => {
  it('gives shares in proportion to the weights', () => {
    const [a = 0, b = 0, c = 0] = shares(ring([target(31, 7), target(32, 2), target(33, 1)], 4096), 3);
    expect(a / 4096).toBeCloseTo(0.7, 1);
    expect(b / 4096).toBeCloseTo(0.2, 1);
    expect(c / 4096).toBeCloseTo(0.1, 1);
  });

  it('moves no slot between targets that stay when one goes', () => {
    const all = [target(31), target(32), target(33)];
    const before = ring(all, 256);
    const after = ring([all[0], all[2]] as PlacedTarget[], 256);
    before.forEach((owner, slot) => {
      if (owner === 0) expect(after[slot]).toBe(0);
      if (owner === 2) expect(after[slot]).toBe(1);
    });
    expect(before).toContain(1);
  });

  it.each([
    [[target(31), target(32), target(33)], '10010000220221101201102202112102'],
    [
      [target(31, 7), { ...target(32, 2), port: 8080 }, { address: ip('2001:db8::1'), weight: 1 }],
      '00010000002100100000000000000001',
    ],
  ])('gives the slots that released versions gave: an upgrade moves no client', (targets, slots) => {
    expect(ring(targets, 32).join('')).toBe(slots);
  });

  it('gives one target everything', () => {
    expect(new Set(ring([target(31)], 32))).toEqual(new Set([0]));
  });
});
