import type { Context } from '../context.js';
import { CliError } from './cli-error.js';
import { errorLines, toCliError } from './render.js';

/**
 * Does the same for several names, each by itself. One bad name stops none of the others; it is said at once which failed, and the
 * end is "partly done". Where all fail, the first failure's kind stands for all.
 */
export async function forEachName(
  context: Context,
  names: readonly string[],
  work: (name: string) => Promise<void>,
): Promise<void> {
  const unique = [...new Set(names)];
  const failures: { readonly name: string; readonly error: CliError }[] = [];
  for (const name of unique) {
    try {
      await work(name);
    } catch (raw) {
      const error = toCliError(raw);
      if (error.kind === 'interrupted' || unique.length === 1) throw error;
      for (const line of errorLines(error)) context.talk(line);
      failures.push({ name, error });
    }
  }
  const [first] = failures;
  if (!first) return;
  throw new CliError({
    kind: failures.length < unique.length ? 'partly' : first.error.kind,
    message: `${unique.length - failures.length} of ${unique.length} done; failed: ${failures.map((f) => f.name).join(', ')}`,
    cause: first.error,
  });
}
