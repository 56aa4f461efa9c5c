import { beforeEach, describe, expect, it } from 'vitest';
import { POLL, Polling } from './polling.js';

let polling: Polling;
const shortOnes = (count: number) => {
  for (let i = 0; i < count; i++) polling.slept(POLL / 2);
};
beforeEach(() => {
  polling = new Polling();
});

describe('Polling', () => {
  it('pays after a few short sleeps in a row, until a long one', () => {
    shortOnes(7);
    expect(polling.ms).toBe(0);
    shortOnes(1);
    expect(polling.ms).toBe(POLL);
    polling.polled(POLL);
    expect(polling.ms).toBe(POLL);
    polling.slept(2 * POLL);
    expect(polling.ms).toBe(0);
  });

  it('never pays for messages with pauses between them, however many come', () => {
    for (let i = 0; i < 1000; i++) {
      shortOnes(2);
      polling.slept(0.3);
      expect(polling.ms).toBe(0);
    }
  });

  it('never pays while there is bulk', () => {
    for (let i = 0; i < 100; i++) {
      shortOnes(7);
      polling.bulk();
      expect(polling.ms).toBe(0);
    }
  });

  it('does not pay for long once somebody else needed the processor', () => {
    shortOnes(8);
    polling.polled(3 * POLL);
    shortOnes(1000);
    polling.slept(1);
    polling.bulk();
    expect(polling.ms).toBe(0);
    shortOnes(8);
    expect(polling.ms).toBe(POLL);
  });
});
