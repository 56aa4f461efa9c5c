import { describe, expect, it } from 'vitest';
import { callFailed, refused } from './errno.js';
import { EAGAIN, EINVAL } from './native/constants.js';

describe('errors of the kernel', () => {
  it('are told by name and number', () => {
    const error = callFailed({ errno: () => EAGAIN }, 'recv');
    expect([error.code, error.reason]).toEqual(['UNAVAILABLE', 'SYSTEM_CALL_FAILED']);
    expect(error.message).toBe('the system call recv failed with EAGAIN (errno 11)');
    // Who looks for an answer's number must not take a failure of the conversation for one.
    expect(error.metadata).toEqual({});
  });

  it('that it answered with keep the number', () => {
    const error = refused(EINVAL, 'remove a flow');
    expect(error.message).toBe('the kernel refused to remove a flow with EINVAL (errno 22)');
    expect(error.metadata).toEqual({ errno: '22' });
  });

  it('may be without a name, or none at all', () => {
    expect(refused(524, 'do it').message).toMatch(/\(errno 524\)$/);
    expect(callFailed({ errno: () => 0 }, 'recv').message).toBe('the system call recv failed with errno 0');
  });
});
