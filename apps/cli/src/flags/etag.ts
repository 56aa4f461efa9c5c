import { err, ok, quote, type Result } from '@gwctl/shared/domain/result';

/** Reads an etag as `get` shows it. */
export function parseEtag(text: string): Result<string, string> {
  if (/^[\x21-\x7e]{1,128}$/.test(text)) return ok(text);
  return err(`${quote(text)} is not an etag; copy the one that get shows`);
}
