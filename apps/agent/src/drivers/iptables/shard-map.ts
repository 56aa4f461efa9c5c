const SHARDS = 1024;

/**
 * A map that never changes: {@link with} gives another one that shares all but what it touches. Comparing two of which one came from
 * the other costs as much as they differ, which is what lets one change among tens of thousands cost one.
 */
export class ShardMap<V> implements Iterable<[string, V]> {
  static readonly #empty: ReadonlyMap<string, never> = new Map<string, never>();
  readonly #shards: readonly ReadonlyMap<string, V>[];
  readonly size: number;

  private constructor(shards: readonly ReadonlyMap<string, V>[], size: number) {
    this.#shards = shards;
    this.size = size;
  }

  static of<V>(entries: Iterable<readonly [string, V]> = []): ShardMap<V> {
    const nothing = new ShardMap<V>(new Array(SHARDS).fill(ShardMap.#empty), 0);
    return nothing.with(entries);
  }

  get(key: string): V | undefined {
    return this.#shards[shardOf(key)]?.get(key);
  }

  has(key: string): boolean {
    return this.get(key) !== undefined;
  }

  /** The same with these entries; undefined takes one away. */
  with(changes: Iterable<readonly [string, V | undefined]>): ShardMap<V> {
    const copied = new Map<number, Map<string, V>>();
    let { size } = this;
    for (const [key, value] of changes) {
      const at = shardOf(key);
      let shard = copied.get(at);
      if (!shard) {
        if (this.#shards[at]?.get(key) === value) continue;
        shard = new Map(this.#shards[at]);
        copied.set(at, shard);
      }
      size -= shard.size;
      if (value === undefined) shard.delete(key);
      else shard.set(key, value);
      size += shard.size;
    }
    if (copied.size === 0) return this;
    const shards = [...this.#shards];
    for (const [at, shard] of copied) shards[at] = shard;
    return new ShardMap(shards, size);
  }

  *[Symbol.iterator](): Iterator<[string, V]> {
    for (const shard of this.#shards) yield* shard;
  }

  *keys(): Generator<string> {
    for (const shard of this.#shards) yield* shard.keys();
  }

  *values(): Generator<V> {
    for (const shard of this.#shards) yield* shard.values();
  }

  /** Keys whose values are not the same object here and there, and both values. */
  *changes<W>(other: ShardMap<W>): Generator<[string, V | undefined, W | undefined]> {
    for (let at = 0; at < SHARDS; at++) {
      const mine = this.#shards[at] ?? ShardMap.#empty;
      const theirs = other.#shards[at] ?? ShardMap.#empty;
      if ((mine as unknown) === theirs) continue;
      for (const [key, value] of mine) {
        const there = theirs.get(key);
        if ((there as unknown) !== value) yield [key, value, there];
      }
      for (const [key, value] of theirs) if (!mine.has(key)) yield [key, undefined, value];
    }
  }
}

/** FNV-1a over UTF-16 units. */
function shardOf(key: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) h = Math.imul(h ^ key.charCodeAt(i), 0x01000193);
  return ((h ^ (h >>> 15)) >>> 0) % SHARDS;
}
