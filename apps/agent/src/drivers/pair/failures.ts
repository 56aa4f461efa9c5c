import { PartFailure, together } from '../part-failure.js';
import type { UnreadStep } from './steps.js';

/** What failed of one plan, by half. */
export class Failures {
  readonly #kernel: unknown[];
  readonly #relay: unknown[];

  /** `blind`: the halves that could not be read. */
  constructor(blind: readonly UnreadStep[]) {
    this.#kernel = blind.flatMap((s) => (s.half === 'kernel' ? [s.error] : []));
    this.#relay = blind.flatMap((s) => (s.half === 'relay' ? [s.error] : []));
  }

  /** Resolves to whether it went well. */
  async of(half: 'kernel' | 'relay', doing: () => Promise<void>): Promise<boolean> {
    try {
      await doing();
      return true;
    } catch (error) {
      (half === 'kernel' ? this.#kernel : this.#relay).push(error);
      return false;
    }
  }

  /** Throws what failed, with the relay's part told from the kernel's. */
  throw(): void {
    const [kernel, [relay, ...more]] = [this.#kernel, this.#relay];
    if (relay !== undefined) throw new PartFailure({ kernel, relay: [relay, ...more] });
    if (kernel.length > 0) throw kernel.length === 1 ? kernel[0] : together(kernel);
  }
}
