/** Milliseconds of a clock that only goes on. */
export const now = (): number => performance.now();
