import { err, ok, type Result } from '../domain/result.js';

/** What a join string carries: where to enrol, which CA to trust (no trust on first use), and the single-use secret. */
export interface JoinString {
  /** HOST:PORT, tried in order; at least one. */
  readonly servers: readonly string[];
  /** SHA-256 of the CA certificate's DER, 64 lower-case hex digits. */
  readonly caFingerprint: string;
  /** Name of the gateway, for messages; the token decides. */
  readonly gateway: string;
  readonly token: string;
}

/** Prefix by which a secret scanner finds a join string; the number is the format's version. */
const PREFIX = 'gwctl-join-1.';

export function formatJoinString(join: JoinString): string {
  return PREFIX + Buffer.from(JSON.stringify([join.servers, join.caFingerprint, join.gateway, join.token])).toString('base64url');
}

/** Reads a join string. Errors never repeat it, since it holds a secret. */
export function parseJoinString(text: string): Result<JoinString, string> {
  const again = 'copy the whole string that "gwctl gateway add" or "gwctl gateway token" printed';
  const trimmed = text.trim();
  if (!trimmed.startsWith('gwctl-join-')) return err(`this is not a join string; ${again}`);
  if (!trimmed.startsWith(PREFIX)) return err('this join string is of another version; update this agent');
  let fields: unknown;
  try {
    fields = JSON.parse(Buffer.from(trimmed.slice(PREFIX.length), 'base64url').toString('utf8'));
  } catch {
    return err(`the join string is damaged; ${again}`);
  }
  if (!Array.isArray(fields) || fields.length !== 4) return err(`the join string is damaged; ${again}`);
  const [servers, caFingerprint, gateway, token] = fields as unknown[];
  if (
    !Array.isArray(servers) ||
    servers.length === 0 ||
    !servers.every((s): s is string => typeof s === 'string' && /^[^\s/]+:\d{1,5}$/.test(s)) ||
    typeof caFingerprint !== 'string' ||
    !/^[0-9a-f]{64}$/.test(caFingerprint) ||
    typeof gateway !== 'string' ||
    typeof token !== 'string' ||
    token === ''
  )
    return err(`the join string is damaged; ${again}`);
  return ok({ servers, caFingerprint, gateway, token });
}
