import { hash } from 'node:crypto';

/**
 * The first eight hex digits of SHA-256 of a forward's uid: short enough for a chain's name, and nothing of a user's text. Of 40,000
 * forwards two have the same in one gateway of six; then the other one takes its next, `attempt` 1 and on.
 */
export function forwardKey(uid: string, attempt = 0): string {
  const text = attempt === 0 ? uid : `${uid}#${attempt}`;
  // In one call: a first load asks for tens of thousands.
  return hash('sha256', text, 'hex').slice(0, 8);
}
