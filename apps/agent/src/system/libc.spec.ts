import { describe, expect, it } from 'vitest';
import { addressInMemory, errno, libcCalls, pointerSize } from './libc.js';
import { EBADF } from './native/constants.js';

describe('libcCalls', () => {
  it('declares once, when it is first asked, and gives the same calls ever after', () => {
    let declared = 0;
    const load = libcCalls((func) => {
      declared++;
      return { close: func('int close(int)'), errno };
    });
    expect(declared).toBe(0);
    const calls = load();
    expect(load()).toBe(calls);
    expect(declared).toBe(1);
    expect([calls.close(-1), calls.errno()]).toEqual([-1, EBADF]);
  });

  it('says what does not work where the library has no such function', () => {
    const load = libcCalls((func) => func('int gwctl_has_no_such_call(int)'), 'native calls for a test');
    for (let i = 0; i < 2; i++)
      expect(load).toThrow(
        expect.objectContaining({
          code: 'FAILED_PRECONDITION',
          reason: 'LIBC_UNAVAILABLE',
          message: expect.stringMatching(/^native calls for a test do not work here: .*gwctl_has_no_such_call/),
        }),
      );
  });

  it('takes what the declaration says against this machine for the same', () => {
    const load = libcCalls(() => {
      throw new Error('too few bits');
    });
    expect(load).toThrow(
      expect.objectContaining({ reason: 'LIBC_UNAVAILABLE', message: 'native calls do not work here: too few bits' }),
    );
  });
});

describe('memory', () => {
  it('has the addresses that the library sees', () => {
    const memset = libcCalls<(at: number, value: number, length: number) => unknown>((func) =>
      func('void *memset(int64_t, int, size_t)'),
    )();
    const bytes = new Uint8Array(16);
    memset(addressInMemory(bytes) + 4, 7, 8);
    expect([...bytes]).toEqual([0, 0, 0, 0, 7, 7, 7, 7, 7, 7, 7, 7, 0, 0, 0, 0]);
    expect(pointerSize()).toBe(8);
  });
});
