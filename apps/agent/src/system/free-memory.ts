import { libcCalls } from './libc.js';

/**
 * Gives what the C library freed but kept back to the kernel (malloc_trim(3)); after a load of tens of thousands of forwards that are
 * tens of megabytes. Does nothing where the C library has no such call.
 */
export function giveBackFreeMemory(): void {
  trim ??= load();
  trim(0);
}

/** Gets the bytes to keep at the end of the heap. */
type Trim = (keep: number) => number;

let trim: Trim | undefined;

const loadTrim = libcCalls<Trim>((func) => func('int malloc_trim(size_t)'));

function load(): Trim {
  try {
    return loadTrim();
  } catch {
    // Another C library: memory that is free stays with the process, and forwarding does not depend on it.
    return () => 0;
  }
}
