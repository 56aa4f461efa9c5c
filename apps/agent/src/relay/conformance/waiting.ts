/** Resolves when something that is told about each event has become true; nobody sleeps. */
export class Waiting {
  readonly #waiters = new Set<() => void>();

  /** Something happened: everybody who waits looks again. */
  happened(): void {
    for (const look of [...this.#waiters]) look();
  }

  /** `ready` gives undefined for as long as it is not. It may throw, which ends the wait. */
  until<T>(ready: () => T | undefined): Promise<T> {
    return new Promise((resolve, reject) => {
      const look = () => {
        try {
          const value = ready();
          if (value === undefined) return;
          this.#waiters.delete(look);
          resolve(value);
        } catch (error) {
          this.#waiters.delete(look);
          reject(error);
        }
      };
      this.#waiters.add(look);
      look();
    });
  }
}

/** For what tells nobody: asks every few milliseconds. */
export async function eventually<T>(what: string, ask: () => Promise<T | undefined> | T | undefined, within = 5_000): Promise<T> {
  for (const give = performance.now() + within; ; ) {
    const value = await ask();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > give) throw new Error(`${what}: not within ${within} ms`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
