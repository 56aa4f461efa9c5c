/** Which limit keeps a client out. */
export type Limit = 'forward' | 'client';

export interface Caps {
  readonly maxConnections?: number;
  readonly maxConnectionsPerClient?: number;
}

/**
 * How many connections (and clients over UDP) a forward has, and each of its clients, for one thread. Lower caps end nothing: they hold
 * for who comes next.
 */
export class Limits {
  #caps: Caps;
  #all = 0;
  /** Counted without a cap too: one may be set while they are there. */
  readonly #clients = new Map<string, number>();

  constructor(caps: Caps) {
    this.#caps = caps;
  }

  get open(): number {
    return this.#all;
  }

  set caps(caps: Caps) {
    this.#caps = caps;
  }

  /** Counts one more of `client` (its address in one form), or says what does not allow it and counts nothing. */
  enter(client: string): Limit | undefined {
    const { maxConnections, maxConnectionsPerClient } = this.#caps;
    if (maxConnections !== undefined && this.#all >= maxConnections) return 'forward';
    const his = this.#clients.get(client) ?? 0;
    if (maxConnectionsPerClient !== undefined && his >= maxConnectionsPerClient) return 'client';
    this.#all += 1;
    this.#clients.set(client, his + 1);
    return undefined;
  }

  /** For each {@link enter} that went well, once. */
  leave(client: string): void {
    const his = this.#clients.get(client) ?? 0;
    if (his === 0) throw new Error(`more connections of ${client} ended than began`);
    this.#all -= 1;
    if (his === 1) this.#clients.delete(client);
    else this.#clients.set(client, his - 1);
  }
}
