/** What may be said on the command line, read once into types. */
import { readFile } from 'node:fs/promises';
import { text as readText } from 'node:stream/consumers';
import { AppError } from '@gwctl/shared/errors/app-error';
import { type JoinString, parseJoinString } from '@gwctl/shared/wire/join-string';
import { DRIVER_PREFERENCES, type DriverPreference } from '../drivers/choose.js';
import { errorCode } from '../state-dir/atomic-file.js';
import { oneOf } from './words.js';

const FORMATS = ['text', 'json'] as const;
export type Format = (typeof FORMATS)[number];

/** No join string is longer; a file that is was named by mistake. */
const LONGEST_JOIN_STRING = 64 * 1024;

export const parseFormat: (value: string) => Format = oneOf(FORMATS);
export const parseDriver: (value: string) => DriverPreference = oneOf(DRIVER_PREFERENCES);

/** Where the join string stands: an argument, `-` for standard input, or a file. Exactly one. */
export async function readJoinString(argument: string | undefined, file: string | undefined): Promise<JoinString> {
  if ((argument === undefined) === (file === undefined))
    throw usage('name the join string once: as an argument, as "-" to read it from standard input, or with --join-string-file');
  const text = file !== undefined ? await readSecret(file) : argument === '-' ? await readText(process.stdin) : (argument ?? '');
  const join = parseJoinString(text);
  if (!join.ok) throw usage(join.error);
  return join.value;
}

async function readSecret(file: string): Promise<string> {
  try {
    const text = await readFile(file, 'utf8');
    if (text.length <= LONGEST_JOIN_STRING) return text;
  } catch (cause) {
    throw new AppError({
      code: errorCode(cause) === 'EACCES' ? 'PERMISSION_DENIED' : 'FAILED_PRECONDITION',
      reason: 'JOIN_STRING_UNREADABLE',
      message: `the file with the join string, ${file}, cannot be read (${errorCode(cause) ?? String(cause)})`,
      cause,
    });
  }
  throw usage(`${file} is too long to hold a join string`);
}

const usage = (message: string) => new AppError({ code: 'INVALID_ARGUMENT', reason: 'USAGE', message });
