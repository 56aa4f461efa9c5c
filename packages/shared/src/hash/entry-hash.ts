import { hash } from 'node:crypto';

/** Hash of one desired entry, see domain/digest.ts for what it is used for. */
export function entryHash(uid: string, forward: Uint8Array): Uint8Array {
  const size = Buffer.byteLength(uid);
  const bytes = Buffer.allocUnsafe(size + 1 + forward.length);
  bytes.write(uid);
  bytes[size] = 0;
  bytes.set(forward, size + 1);
  // In one call: a snapshot has tens of thousands of entries.
  return hash('sha256', bytes, 'buffer');
}
