/** Up to a million entries, a shard that is copied stays small. */
const SHARDS = 1024;

/** A map whose versions share what they have in common: an edit copies only the shards that it changes. */
export class Shards<V> {
  readonly #shards: readonly ReadonlyMap<string, V>[];

  private constructor(shards: readonly ReadonlyMap<string, V>[]) {
    this.#shards = shards;
  }

  static empty<V>(): Shards<V> {
    const none: ReadonlyMap<string, V> = new Map();
    return new Shards<V>(Array.from({ length: SHARDS }, () => none));
  }

  get(key: string): V | undefined {
    return this.#shards[shardOf(key)]?.get(key);
  }

  /** A version in which `changes` were made; an undefined value removes. */
  with(changes: ReadonlyMap<string, V | undefined>): Shards<V> {
    if (changes.size === 0) return this;
    const shards = [...this.#shards];
    const copies = new Map<number, Map<string, V>>();
    for (const [key, value] of changes) {
      const at = shardOf(key);
      const shard = copies.get(at) ?? new Map(shards[at]);
      copies.set(at, shard);
      shards[at] = shard;
      if (value === undefined) shard.delete(key);
      else shard.set(key, value);
    }
    return new Shards(shards);
  }
}

/** FNV-1a. */
function shardOf(key: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  return (hash >>> 0) % SHARDS;
}
