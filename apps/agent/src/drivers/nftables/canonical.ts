import { isList, isObject, type Json } from '../../system/nft-json.js';

/** Without counters' values, keys and anonymous sets in order. */
export function canonical(value: Json): string {
  return JSON.stringify(ordered(value));
}

function ordered(value: Json, under?: string): Json {
  if (isList(value)) {
    const items = value.map((v) => ordered(v));
    return under === 'set' ? items.sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)) : items;
  }
  if (!isObject(value)) return value;
  if ('counter' in value) return { counter: null };
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, v]) => [key, ordered(v, key)]),
  );
}
