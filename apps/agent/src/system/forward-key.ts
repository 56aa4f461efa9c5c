import { createHash } from 'node:crypto';

/** The first eight hex digits of SHA-256 of a forward's uid: short enough for a chain's name, and nothing of a user's text. */
export function forwardKey(uid: string): string {
  return createHash('sha256').update(uid).digest('hex').slice(0, 8);
}
