import { expect } from 'vitest';
import type { Peer, Service } from './peers.js';
import type { Stage } from './stage.js';
import { eventually } from './waiting.js';

/** An open connection: both its ends, and whose it is. */
export interface Pair {
  readonly client: Peer;
  readonly there: Peer;
  readonly service: Service;
}

/** A client and the end of its connection at the target, after each heard the other. */
export async function pair(stage: Stage, port: number, service: Service, from?: string): Promise<Pair> {
  return anyPair(stage, port, [service], from);
}

/** The same at whichever of them it is connected to. */
export async function anyPair(stage: Stage, port: number, services: readonly Service[], from?: string): Promise<Pair> {
  const client = stage.connect(port, from === undefined ? {} : { from }).send('hello');
  const { there, service } = await eventually('a target is connected', () => {
    for (const service of services) {
      const there = service.nextNow();
      if (there) return { there, service };
    }
    return undefined;
  });
  expect(await there.read(5)).toBe('hello');
  there.send('hi');
  expect(await client.read(2)).toBe('hi');
  return { client, there, service };
}

/** It goes on both ways, or both its ends saw it reset. */
export async function expectFate({ client, there }: Pair, stays: boolean): Promise<void> {
  if (!stays) {
    expect(await Promise.all([client.ending(), there.ending()])).toEqual(['reset', 'reset']);
    return;
  }
  client.send('on');
  expect(await there.read(2)).toBe('on');
  there.send('and on');
  expect(await client.read(6)).toBe('and on');
}
