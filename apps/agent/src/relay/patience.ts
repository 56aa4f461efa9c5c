import { AppError } from '@gwctl/shared/errors/app-error';
import type { Clock, Timer } from '../clock.js';

/** Resolves once `doing` has ended well, or with false after `ms`. Rejects as it does, as long as it is waited for. */
export async function within(clock: Clock, ms: number, doing: Promise<unknown>): Promise<boolean> {
  let timer: Timer | undefined;
  const over = new Promise<false>((resolve) => {
    timer = clock.after(ms, () => resolve(false));
  });
  try {
    return await Promise.race([doing.then(() => true), over]);
  } finally {
    timer?.cancel();
  }
}

/**
 * Has things done that may hang, each at most once at a time. What is not over in time goes on by itself, and is from then on begun
 * again as before but not waited for, until it has ended well: whoever hangs keeps the others waiting once.
 */
export class Patience<K> {
  readonly #options: { readonly clock: Clock; readonly ms: number };
  readonly #running = new Map<K, Promise<void>>();
  readonly #late = new Map<K, string>();

  constructor(options: { readonly clock: Clock; readonly ms: number }) {
    this.#options = options;
  }

  /** Those that are not waited for, and why, for people. */
  get late(): ReadonlyMap<K, string> {
    return this.#late;
  }

  /** Resolves when it is done, or is no longer waited for. What it fails with makes it late as well. */
  async do(key: K, run: () => Promise<void>): Promise<void> {
    const running = this.#running.get(key) ?? this.#begin(key, run);
    if (this.#late.has(key)) return;
    const { clock, ms } = this.#options;
    if (!(await within(clock, ms, running))) this.#note(key, `it did not answer within ${ms / 1000} s`);
  }

  forget(key: K): void {
    this.#late.delete(key);
  }

  #begin(key: K, run: () => Promise<void>): Promise<void> {
    const running = run().then(
      () => void this.#late.delete(key),
      (error: unknown) => this.#note(key, AppError.from(error).message),
    );
    this.#running.set(key, running);
    void running.then(() => this.#running.delete(key));
    return running;
  }

  /** The first reason stays: it is told, and would be told anew. */
  #note(key: K, why: string): void {
    if (!this.#late.has(key)) this.#late.set(key, why);
  }
}
