import { createHash, randomBytes } from 'node:crypto';

/** By which a secret scanner finds an operator token. */
export const OPERATOR_TOKEN_PREFIX = 'gwctl_at_';
export const JOIN_TOKEN_PREFIX = 'gwctl_jt_';

const FORM = /^gwctl_(at|jt)_[A-Za-z0-9_-]{43}$/;

/** 256 random bits behind a prefix that says what it is. */
export const newSecret = (prefix: string): string => prefix + randomBytes(32).toString('base64url');

/** Whether this could be one of ours; anything else is not worth a question to the database. */
export const hasSecretForm = (text: string, prefix: string): boolean => text.startsWith(prefix) && FORM.test(text);

/** What is stored. The secret has 256 bits of its own, so a plain hash cannot be turned back, and a lookup by it tells nothing. */
export const hashSecret = (secret: string): Uint8Array<ArrayBuffer> =>
  new Uint8Array(createHash('sha256').update(secret).digest());
