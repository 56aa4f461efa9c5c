import { expect, it } from 'vitest';
import { readEntry } from './desired/entry-codec.js';
import { entry } from './testing/forwards.js';
import { WantedPorts } from './wanted-ports.js';

const at = (n: number, port: number) => readEntry(entry(n, { port }));

it('tells which sockets matter, and follows each change', () => {
  const ports = new WantedPorts();
  const [a, b, c] = [at(1, 80), at(2, 81), at(3, 80)] as const;
  const wanted = (...all: (typeof a)[]) => {
    ports.update(all);
    return [ports.tcp.size, ports.udp.size, ports.tcp.has(80), ports.tcp.has(81), ports.tcp.has(82)];
  };
  expect(wanted(a, b, c)).toEqual([2, 0, true, true, false]);
  expect(wanted(b, c)).toEqual([2, 0, true, true, false]);
  expect(wanted(at(2, 82), c)).toEqual([2, 0, true, false, true]);
  expect(wanted()).toEqual([0, 0, false, false, false]);
});
