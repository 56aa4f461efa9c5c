import fc from 'fast-check';
import { expect, it } from 'vitest';
import { LineCutter } from './lines.js';

it('cuts the same lines however they arrive', () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ unit: 'grapheme' }).map((s) => s.replaceAll('\n', ''))),
      fc.infiniteStream(fc.integer({ min: 1, max: 9 })),
      (lines, sizes) => {
        const bytes = Buffer.from(lines.map((l) => `${l}\n`).join(''));
        const cutter = new LineCutter();
        const found: string[] = [];
        for (let at = 0; at < bytes.length; ) {
          const size = sizes.next().value as number;
          found.push(...cutter.push(bytes.subarray(at, at + size)));
          at += size;
        }
        expect(found).toEqual(lines);
      },
    ),
  );
});

it('keeps no more than it may', () => {
  const cutter = new LineCutter(10);
  expect(cutter.push(Buffer.from('123456789\n'))).toEqual(['123456789']);
  cutter.push(Buffer.from('1234567890'));
  expect(() => cutter.push(Buffer.from('x'))).toThrow('more than 10 bytes');
});
