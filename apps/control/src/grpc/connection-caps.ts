/** Connections from one address that have not proved who they are, handshakes included. */
export const MAX_UNAUTHENTICATED_PER_ADDRESS = 100;

/** Counts the unauthenticated connections of each address. */
export class ConnectionCaps {
  private readonly counts = new Map<string, number>();
  private readonly open = new Map<string, string>();

  /** Whether one more may come in. @param key Tells connections apart. */
  admit(address: string, key: string): boolean {
    const count = this.counts.get(address) ?? 0;
    if (count >= MAX_UNAUTHENTICATED_PER_ADDRESS) return false;
    this.counts.set(address, count + 1);
    this.open.set(key, address);
    return true;
  }

  authenticated(key: string): void {
    this.closed(key);
  }

  closed(key: string): void {
    const address = this.open.get(key);
    if (address === undefined) return;
    this.open.delete(key);
    const count = (this.counts.get(address) ?? 1) - 1;
    if (count > 0) this.counts.set(address, count);
    else this.counts.delete(address);
  }
}
