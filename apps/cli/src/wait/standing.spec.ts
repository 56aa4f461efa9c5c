import { describe, expect, it } from 'vitest';
import type { Carried, PlacementResource } from '../resources/placement.js';
import { judge, standingOf } from './standing.js';

const placement = (state: string, observedGeneration = 2, gateway = 'gw1'): PlacementResource => ({
  gateway,
  state,
  observedGeneration,
  revision: 5,
  targets: [],
  conditions: [],
  violations: [],
});

const forward = (placements: PlacementResource[], generation = 2, enabled = true): Carried => ({
  metadata: { name: 'web', labels: {}, generation },
  spec: { enabled },
  status: { placements },
});

describe('standingOf', () => {
  it.each([
    ['ACTIVE', 2, true, 'done'],
    ['ACTIVE', 3, true, 'done'],
    ['ACTIVE', 1, true, 'waiting'],
    ['ACTIVE', 2, false, 'waiting'],
    ['DISABLED', 2, false, 'done'],
    ['DISABLED', 2, true, 'waiting'],
    ['PENDING', 2, true, 'waiting'],
    ['DEGRADED', 2, true, 'waiting'],
    ['UNKNOWN', 2, true, 'waiting'],
    ['REJECTED', 2, true, 'refused'],
    ['REJECTED', 1, true, 'waiting'],
    ['EXPIRED', 2, true, 'refused'],
    ['UNRECOGNISED_9', 2, true, 'waiting'],
  ] as const)('%s of generation %i, enabled %s: %s', (state, observed, enabled, expected) => {
    expect(standingOf(placement(state, observed), 2, enabled)).toBe(expected);
  });
});

describe('judge', () => {
  it.each([
    [[], 'nowhere'],
    [['ACTIVE'], 'done'],
    [['ACTIVE', 'ACTIVE'], 'done'],
    [['ACTIVE', 'PENDING'], 'waiting'],
    [['REJECTED', 'PENDING'], 'waiting'],
    [['REJECTED', 'REJECTED'], 'refused'],
    [['ACTIVE', 'REJECTED'], 'partly'],
  ])('%j: %s', (states, outcome) => {
    expect(judge(forward(states.map((s) => placement(s))), 2).outcome).toBe(outcome);
  });

  it('wants the later generation where somebody changed it again', () => {
    expect(judge(forward([placement('ACTIVE', 2)], 3), 2).outcome).toBe('waiting');
  });

  it('wants the generation that was asked for where a replica is behind', () => {
    expect(judge(forward([placement('ACTIVE', 1)], 1), 2).outcome).toBe('waiting');
  });
});
