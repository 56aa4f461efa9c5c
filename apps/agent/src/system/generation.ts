import { AppError } from '@gwctl/shared/errors/app-error';
import { readGeneration } from './netlink/generation-id.js';
import { loadLibc } from './netlink/libc.js';

/**
 * Reads the kernel's count of changes of nftables, which tells for the cost of a system call whether anybody changed anything. Gives
 * undefined where that does not work here; `detail` says why.
 */
export function generationReader(): { readonly generation: () => number | undefined; readonly detail: string } {
  try {
    const libc = loadLibc();
    readGeneration(libc);
    return { generation: () => readGeneration(libc), detail: 'the kernel counts changes of rules, found by asking' };
  } catch (error) {
    const detail = `every change is read back as a whole: ${AppError.from(error).message}`;
    return { generation: () => undefined, detail };
  }
}
