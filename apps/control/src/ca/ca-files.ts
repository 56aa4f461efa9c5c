import { readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError } from '@gwctl/shared/errors/app-error';
import type { KeyAndCertificate } from './certificates.js';

export interface CaPaths {
  /** Certificate, for everybody to read and to hand to operators. */
  readonly certificate: string;
  /** Private key, 0600. */
  readonly key: string;
}

export const caPaths = (dataDir: string): CaPaths => ({ certificate: join(dataDir, 'ca.crt'), key: join(dataDir, 'ca.key') });

/** The CA on disk; undefined where neither file is there. One without the other, or unreadable ones, are an error: start nothing. */
export async function readCa(paths: CaPaths): Promise<KeyAndCertificate | undefined> {
  const [certificatePem, keyPem] = await Promise.all([readIfThere(paths.certificate), readIfThere(paths.key)]);
  if (certificatePem === undefined && keyPem === undefined) return undefined;
  if (certificatePem === undefined)
    throw broken(`${paths.key} is there but ${paths.certificate} is missing; put it back from a backup`);
  if (keyPem === undefined)
    throw broken(`${paths.certificate} is there but its key ${paths.key} is missing; put it back from a backup`);
  const mode = (await stat(paths.key)).mode;
  if ((mode & 0o077) !== 0)
    throw broken(`${paths.key} can be read by others (mode ${(mode & 0o777).toString(8)}); run chmod 600 ${paths.key}`);
  return { certificatePem, keyPem };
}

/** Writes a new CA, the key first: a certificate never stands without its key. */
export async function writeCa(paths: CaPaths, pair: KeyAndCertificate): Promise<void> {
  await writeAtomically(paths.key, pair.keyPem, 0o600);
  await writeAtomically(paths.certificate, pair.certificatePem, 0o644);
}

/** Writes beside and renames, so that nobody ever reads half a file. */
export async function writeAtomically(path: string, text: string, mode: number): Promise<void> {
  const beside = `${path}.${process.pid}.tmp`;
  await writeFile(beside, text, { mode, flush: true });
  await rename(beside, path);
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw broken(`cannot read ${path}: ${(error as Error).message}`);
  }
}

export const broken = (what: string): AppError =>
  new AppError({ code: 'FAILED_PRECONDITION', reason: 'CA_UNUSABLE', message: `the certificate authority: ${what}` });
