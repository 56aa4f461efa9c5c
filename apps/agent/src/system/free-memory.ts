import koffi from 'koffi';

/**
 * Gives what the C library freed but kept back to the kernel (malloc_trim(3)); after a load of tens of thousands of forwards that are
 * tens of megabytes. Does nothing where the C library has no such call.
 */
export function giveBackFreeMemory(): void {
  trim ??= load();
  trim(0);
}

let trim: ((keep: number) => number) | undefined;

function load(): (keep: number) => number {
  try {
    return koffi.load('libc.so.6').func('int malloc_trim(size_t)');
  } catch {
    // Another C library: memory that is free stays with the process, and forwarding does not depend on it.
    return () => 0;
  }
}
