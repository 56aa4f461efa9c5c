import { AppError } from '@gwctl/shared/errors/app-error';
import type { DriverCondition } from '../driver.js';

/** What one half said, or why it said nothing. */
export type Half<O> = { readonly ok: true; readonly observed: O } | { readonly ok: false; readonly error: AppError };

/** At least one of them could be read. */
export interface Observed<K, R> {
  readonly kernel: Half<K>;
  readonly relay: Half<R>;
}

export async function halfOf<O>(observing: Promise<O>): Promise<Half<O>> {
  try {
    return { ok: true, observed: await observing };
  } catch (error) {
    return { ok: false, error: AppError.from(error) };
  }
}

export const troubleOf = (half: 'kernel' | 'relay', error: AppError): DriverCondition => ({
  type: half === 'kernel' ? 'KernelReadable' : 'RelayReadable',
  status: 'false',
  reason: error.reason,
  message:
    half === 'kernel'
      ? `what the kernel carries could not be read: ${error.message}; the relay's forwards are not concerned`
      : `what the relay carries could not be read: ${error.message}; the kernel's forwards are not concerned`,
});
