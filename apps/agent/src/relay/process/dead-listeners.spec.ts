import { expect, it } from 'vitest';
import { relayed, target } from '../testing.js';
import { deadListeners, listenerNames } from './dead-listeners.js';

const targets = [target('10.0.0.10', 80)];
const dead = (words: Omit<Parameters<typeof relayed>[0], 'targets'>, ...open: readonly (readonly [string, number])[]) =>
  deadListeners(
    relayed({ ...words, targets }),
    listenerNames(open.map(([address, port]) => ({ transport: 'tcp', address, port, fd: 9 }))),
  );

it('of one address is whatever is not open there', () => {
  expect(dead({ address: '10.0.0.1', port: 80, last: 81 }, ['10.0.0.1', 80], ['10.0.0.2', 81])).toEqual(['tcp 10.0.0.1:81']);
  expect(dead({ address: '2001:db8::1', port: 80 })).toEqual(['tcp [2001:db8::1]:80']);
});

it('of every address is a port that nothing of its family listens on', () => {
  expect(dead({ port: 80 }, ['0.0.0.0', 80], ['::', 80])).toEqual([]);
  expect(dead({ port: 80 }, ['10.0.0.1', 80])).toEqual([]);
  // A host may have no IPv6, but what IPv6 has is nothing to IPv4.
  expect(dead({ port: 80 }, ['0.0.0.0', 80])).toEqual([]);
  expect(dead({ port: 80 }, ['::', 80])).toEqual(['tcp 0.0.0.0:80']);
  expect(dead({ port: 80, families: [6] }, ['0.0.0.0', 80])).toEqual(['tcp [::]:80']);
});
