import { err, ok, quote, type Result } from '@gwctl/shared/domain/result';

/** Reads how many entries to show; 0 means all of them. */
export function parseLimit(text: string): Result<number, string> {
  if (/^\d{1,9}$/.test(text)) return ok(Number(text));
  return err(`${quote(text)} is not a limit; write a whole number, 0 for everything`);
}
