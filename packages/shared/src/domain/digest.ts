/** A digest of a whole desired state has the size of SHA-256. */
export const DIGEST_BYTES = 32;
export const EMPTY_DIGEST: Uint8Array = new Uint8Array(DIGEST_BYTES);

/**
 * The digest of a set of forwards is the XOR of their hashes, each SHA-256 over uid, a zero byte and the encoded forward: it does
 * not depend on order, and one change updates it in constant time. It finds corruption and lost changes; it is no signature.
 */
export function xorInto(digest: Uint8Array, hash: Uint8Array): Uint8Array {
  const out = new Uint8Array(DIGEST_BYTES);
  for (let i = 0; i < DIGEST_BYTES; i++) out[i] = (digest[i] ?? 0) ^ (hash[i] ?? 0);
  return out;
}

export const digestsEqual = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && a.every((byte, i) => byte === b[i]);
