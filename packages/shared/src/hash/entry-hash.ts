import { createHash } from 'node:crypto';

/** Hash of one desired entry, see domain/digest.ts for what it is used for. */
export function entryHash(uid: string, forward: Uint8Array): Uint8Array {
  return createHash('sha256').update(uid).update('\0').update(forward).digest();
}
