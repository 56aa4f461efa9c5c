import { createRequire } from 'node:module';
import { AppError } from '@gwctl/shared/errors/app-error';
import type { LibraryHandle } from 'koffi';

type Koffi = typeof import('koffi').default;

let loaded: Koffi | undefined;

/** Not before it is needed: where it has no binary for this machine, loading it throws, and much of the agent works without. */
function koffi(): Koffi {
  loaded ??= createRequire(import.meta.url)('koffi') as Koffi;
  return loaded;
}

/** Declares a function by its prototype in C; throws where the library has none of that name. */
export type Declare = (prototype: string) => ReturnType<LibraryHandle['func']>;

/**
 * The calls that `declare` makes of functions of the C library. They are made when they are first asked for, once in a thread, and are
 * the same ones ever after. `what` is their name in errors. Asking throws LIBC_UNAVAILABLE where native calls do not work here (no
 * prebuilt binary, another C library), or where `declare` throws.
 */
export function libcCalls<T>(declare: (func: Declare) => T, what = 'native calls'): () => T {
  let calls: T | undefined;
  return () => {
    calls ??= load(declare, what);
    return calls;
  };
}

/** What `load` gives; undefined where it throws an {@link AppError}, as LIBC_UNAVAILABLE: for whoever has another way then. */
export function unlessUnavailable<T>(load: () => T): T | undefined {
  try {
    return load();
  } catch (error) {
    if (error instanceof AppError) return undefined;
    throw error;
  }
}

/** Why the last call of this thread failed; until the next call, whichever it is. */
export const errno = (): number => koffi().errno();

/** Where the bytes lie, for structures that hold pointers; exact below 2^53. It stays so while the caller keeps them. */
export const addressInMemory = (bytes: Uint8Array): number => Number(koffi().address(bytes));

/** Bytes of a pointer. */
export const pointerSize = (): number => koffi().sizeof('void *');

function load<T>(declare: (func: Declare) => T, what: string): T {
  try {
    const library = koffi().load('libc.so.6');
    return declare((prototype) => library.func(prototype));
  } catch (cause) {
    throw new AppError({
      code: 'FAILED_PRECONDITION',
      reason: 'LIBC_UNAVAILABLE',
      message: `${what} do not work here: ${cause instanceof Error ? cause.message : String(cause)}`,
      cause,
    });
  }
}
