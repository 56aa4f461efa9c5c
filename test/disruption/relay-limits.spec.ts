/** The relay under pressure, in small: what `npm run bench -- relay-limits` does by the thousand and states as figures. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Lab } from '../lab/index.js';
import { createSite, type SiteHost } from '../load/site.js';
import { concurrent, fewDescriptors, halfOpen, LATE, neverRead, type Stood, vanished } from '../load/trials.js';

let lab: Lab<SiteHost>;
beforeAll(async () => {
  lab = await createSite('limits');
});
afterAll(() => lab.destroy());

/** Far above what a machine that does other things too makes of it, far below what a relay that is stuck does. */
function expectStood(stood: Stood, most: { readonly memoryMiB: number }): void {
  expect(stood.controlMs).toBeLessThan(2000);
  expect(stood.otherP99Us).toBeLessThan(500_000);
  expect(stood.memoryMiB).toBeLessThan(most.memoryMiB);
}

const trying = (engine: 'native' | 'portable') => ({ lab, engine, measureMs: 300 });

describe('the native engine', () => {
  const options = () => trying('native');

  it('carries 1,000 connections at a time', async () => {
    const result = await concurrent(options(), 1000);
    expect(result.open).toBe(1000);
    expectStood(result, { memoryMiB: 60 });
  });

  it('lets clients wait, and refuses none, while there are too few descriptors', async () => {
    const result = await fewDescriptors(options(), 256, 300);
    // Two for each, and what the process itself needs and keeps in reserve.
    expect(result.served).toBeGreaterThan(30);
    expect(result.served).toBeLessThan(128);
    expect(result.refused).toBe(0);
    expect(result.servedLater).toBe(LATE);
    expect(result).toMatchObject({ others: expect.toSatisfy((n: number) => n > 10), othersFailed: 0 });
    expect(result.use.descriptors).toBeLessThan(256);
    expectStood(result, { memoryMiB: 30 });
  });

  it('goes on letting others in during 2,000 handshakes that nobody ends', async () => {
    const result = await halfOpen(options(), 2000);
    expect(result.queued).toBeGreaterThan(500);
    expect(result.shortRate).toBeGreaterThan(50);
    expect(result.shortFailed).toBe(0);
    expectStood(result, { memoryMiB: 30 });
  });

  it('drops clients that vanished once they were idle for as long as the forward allows', async () => {
    const result = await vanished(options(), 500, 2000);
    expect(result.accepted).toBe(500);
    expect(result.goneMs).toBeLessThan(8000);
    expectStood(result, { memoryMiB: 60 });
  });

  it('buffers a bounded amount for 50 clients that never read', async () => {
    const result = await neverRead(options(), 50);
    expect(result.open).toBe(50);
    expectStood(result, { memoryMiB: 60 });
  });
});

describe('the portable engine', () => {
  it('ends those it has no descriptors for, which Node.js cannot leave waiting, and serves the others', async () => {
    const result = await fewDescriptors(trying('portable'), 256, 300);
    expect(result.served).toBeGreaterThan(30);
    expect(result.served + result.refused).toBe(300);
    expect(result.use.descriptors).toBeLessThan(256);
    expectStood(result, { memoryMiB: 60 });
  });

  it('buffers a bounded amount for 50 clients that never read', async () => {
    const result = await neverRead(trying('portable'), 50);
    expect(result.open).toBe(50);
    expectStood(result, { memoryMiB: 80 });
  });
});
