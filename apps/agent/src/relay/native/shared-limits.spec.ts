import { addressBytes } from '@gwctl/shared/domain/ip-bytes';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Caps, Limits } from '../core/limits.js';
import { countsClients, limitsMemory, SharedLimits } from './shared-limits.js';

const client = (n: number): Uint8Array => addressBytes(n % 3 === 0 ? `2001:db8::${n.toString(16)}` : `10.${n % 2}.0.${n}`);
const caps = fc.record(
  { maxConnections: fc.integer({ min: 1, max: 40 }), maxConnectionsPerClient: fc.integer({ min: 1, max: 5 }) },
  { requiredKeys: [] },
);

describe('SharedLimits', () => {
  it('lets in and turns away as the limits of one thread do, in two threads as in one', () => {
    fc.assert(
      fc.property(
        caps,
        fc.array(fc.tuple(fc.integer({ min: 1, max: 60 }), fc.boolean(), fc.boolean()), { maxLength: 300 }),
        (c: Caps, steps) => {
          const memory = limitsMemory(1000);
          const threads = [new SharedLimits(memory, c), new SharedLimits(memory, c)] as const;
          const model = new Limits(c);
          const here: number[] = [];
          for (const [n, leaves, second] of steps) {
            const thread = threads[second ? 1 : 0];
            if (leaves && here.length > 0) {
              const [gone = 0] = here.splice(n % here.length, 1);
              thread.leave(client(gone), 0, client(gone).length);
              model.leave(String(gone));
            } else {
              const limit = thread.enter(client(n), 0, client(n).length);
              expect(limit).toBe(model.enter(String(n)));
              if (!limit) here.push(n);
            }
            expect(thread.open).toBe(model.open);
          }
          for (const n of here) threads[0].leave(client(n), 0, client(n).length);
          // Nothing stays behind in the table.
          expect(new Int32Array(memory).subarray(4).every((word) => word === 0)).toBe(true);
        },
      ),
    );
  });

  it('takes IPv4 mapped into IPv6 for the same client', () => {
    const limits = new SharedLimits(limitsMemory(10), { maxConnectionsPerClient: 1 });
    const mapped = new Uint8Array(16);
    mapped.set([0xff, 0xff, 10, 0, 0, 1], 10);
    expect(limits.enter(addressBytes('10.0.0.1'), 0, 4)).toBeUndefined();
    expect(limits.enter(mapped, 0, 16)).toBe('client');
  });

  it('counts no client where none is to be counted', () => {
    const memory = limitsMemory(0);
    expect(countsClients(memory)).toBe(false);
    const limits = new SharedLimits(memory, { maxConnections: 1 });
    expect(limits.enter(client(1), 0, 4)).toBeUndefined();
    expect(limits.enter(client(2), 0, 4)).toBe('forward');
    limits.leave(client(1), 0, 4);
    expect(limits.open).toBe(0);
  });
});
