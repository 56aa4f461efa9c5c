/** Reads what `gwctl login` is given: each failure names the flag, the file and what to do. */
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { Context } from '../context.js';
import { CliError } from '../errors/cli-error.js';
import { reason } from './config-file.js';
import { parseToken } from './token.js';

/** Certificates and tokens are small; whoever names another file gets told so instead of a long wait. */
const MAX_CHARACTERS = 1 << 20;

async function readText(flag: string, path: string): Promise<string> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw new CliError({
      kind: 'error',
      message: `${flag}: cannot read ${path}: ${reason(error)}`,
      hint: 'gwctl-control writes ca.crt and admin.token into its data directory at its first start; give a path to a copy that you can read',
      cause: error,
    });
  }
  if (text.length > MAX_CHARACTERS)
    throw new CliError({ kind: 'error', message: `${flag}: ${path} is too large to be what it should be` });
  return text;
}

/** The CA's certificates, PEM, and nothing besides them. */
export async function readCa(path: string): Promise<string> {
  const text = await readText('--ca', path);
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g) ?? [];
  const wrong = (why: string, cause?: unknown) =>
    new CliError({
      kind: 'error',
      message: `--ca: ${path} ${why}`,
      hint: "give the ca.crt of the control plane's data directory (PEM, it begins with -----BEGIN CERTIFICATE-----)",
      cause,
    });
  if (blocks.length === 0) throw wrong('holds no certificate');
  for (const block of blocks) {
    try {
      // Only the constructor tells whether it is a certificate; the object itself is not needed.
      new X509Certificate(block);
    } catch (error) {
      throw wrong('holds a damaged certificate', error);
    }
  }
  return `${blocks.join('\n')}\n`;
}

/** The operator's token, from a file or, for `-`, from standard input. */
export async function readToken(context: Context, path: string): Promise<string> {
  const [text, from] =
    path === '-' ? [await context.readStdin(), 'standard input'] : [await readText('--token-file', path), path];
  const token = parseToken(text);
  if (token.ok) return token.value;
  throw new CliError({
    kind: 'error',
    message: `--token-file: ${from} ${token.error}`,
    hint: "give the admin.token of the control plane's data directory, or a token that an administrator made for you",
  });
}
