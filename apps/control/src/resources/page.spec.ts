import { AppError } from '@gwctl/shared/errors/app-error';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parsePage } from './page.js';

describe('pages', () => {
  it('go on after the last key, for the same filter only', () => {
    const first = parsePage({ pageSize: 0, pageToken: '' }, { a: 1 });
    expect(first).toMatchObject({ size: 100, after: '' });
    const pageToken = first.next('web');
    expect(parsePage({ pageSize: 7, pageToken }, { a: 1 })).toMatchObject({ size: 7, after: 'web' });
    expect(() => parsePage({ pageSize: 7, pageToken }, { a: 2 })).toThrow(/page_token/);
  });

  it('are at most 1,000 long', () => {
    expect(parsePage({ pageSize: 1_000, pageToken: '' }, {}).size).toBe(1_000);
    expect(() => parsePage({ pageSize: 1_001, pageToken: '' }, {})).toThrow(/page_size/);
  });

  it('refuse any other token with a clear error', () => {
    fc.assert(
      fc.property(fc.string(), (pageToken) => {
        if (pageToken === '') return;
        try {
          parsePage({ pageSize: 1, pageToken }, {});
        } catch (error) {
          expect(error).toBeInstanceOf(AppError);
        }
      }),
    );
  });
});
