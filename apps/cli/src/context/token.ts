import { err, ok, type Result } from '@gwctl/shared/domain/result';

/** Reads an operator's token. It must fit into a request's header; errors never repeat it. */
export function parseToken(text: string): Result<string, string> {
  const token = text.trim();
  if (token === '') return err('holds no token');
  if (token.length > 4096) return err('is too long for a token');
  if (!/^[\x21-\x7e]+$/.test(token)) return err('holds more than one token on one line of printable ASCII');
  return ok(token);
}
