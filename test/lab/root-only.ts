import { appendFileSync } from 'node:fs';
import { it } from 'vitest';
import type { RealRootReason } from './environment.js';
import { labMode, needsRealRoot } from './environment.js';

/**
 * A test whose real program needs a real root. As an ordinary user it does not run, and its name and reason are
 * written as one JSON line to the file named by GWCTL_NOT_RUN_FILE, from which the test runner names and counts it.
 *
 * @param reason a key of `needsRealRoot`, or a sentence
 * @param timeoutMs default: vitest's own
 */
export function rootOnly(
  name: string,
  reason: RealRootReason | (string & {}),
  fn: () => void | Promise<void>,
  timeoutMs?: number,
): void {
  if (labMode() === 'root') {
    it(name, fn, timeoutMs);
    return;
  }
  const why = reason in needsRealRoot ? needsRealRoot[reason as RealRootReason] : reason;
  const file = process.env.GWCTL_NOT_RUN_FILE;
  if (file) appendFileSync(file, `${JSON.stringify({ name, reason: why })}\n`);
  else process.stderr.write(`not run, needs real root: ${name}: ${why}\n`);
}
