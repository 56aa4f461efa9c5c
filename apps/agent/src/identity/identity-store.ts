import { randomBytes } from 'node:crypto';
import { lstat, mkdir, readdir, readFile, readlink, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { AppError } from '@gwctl/shared/errors/app-error';
import { errorCode, PRIVATE_DIR, PRIVATE_FILE, replaceFile, syncDirectory } from '../state-dir/atomic-file.js';
import { checkCertificate, type Identity } from './identity.js';

const VERSION = 1;
const KEY = 'key.pem';
const CERTIFICATE = 'certificate.pem';
const CA = 'ca.pem';
const ABOUT = 'identity.json';
const DRAFTS = 'identities';

/** Key, certificate, roots and what they are for, before they are in use. */
export type NewIdentity = Omit<Identity, 'validity'>;

/** A place for an identity that is being made: it can be written to before the join token is spent. */
export interface Draft {
  readonly directory: string;
  readonly privateKey: string;
}

/**
 * Keeps the identity as one directory of four files, which `identity` (a symbolic link) points to: whoever reads it sees the old one
 * or the new one, never half of each. The one before stays until the new one was used with success.
 */
export class IdentityStore {
  private readonly all: string;
  private readonly current: string;
  private readonly previous: string;

  constructor(private readonly options: { readonly stateDir: string }) {
    this.all = join(options.stateDir, DRAFTS);
    this.current = join(options.stateDir, 'identity');
    this.previous = join(options.stateDir, 'identity.previous');
  }

  async exists(): Promise<boolean> {
    return (await linkTarget(this.current)) !== undefined;
  }

  /** Writes the key where the rest will follow, so that a disk that takes nothing is noticed before anything is asked for. */
  async draft(privateKey: string): Promise<Draft> {
    await mkdir(this.all, { recursive: true, mode: PRIVATE_DIR });
    const directory = join(this.all, randomBytes(8).toString('hex'));
    await mkdir(directory, { mode: PRIVATE_DIR });
    await replaceFile(join(directory, KEY), privateKey);
    return { directory, privateKey };
  }

  async discard(draft: Draft): Promise<void> {
    await rm(draft.directory, { recursive: true, force: true });
  }

  /**
   * Makes a draft the identity. Refuses one whose certificate does not fit its key and roots. `replaces`: whether it takes the place
   * of what was there (a join), or renews it, and what last worked is to be kept until it works.
   */
  async commit(draft: Draft, identity: Omit<NewIdentity, 'privateKey'>, how: 'replaces' | 'renews'): Promise<Identity> {
    const made = { ...identity, privateKey: draft.privateKey };
    const validity = checkCertificate(made);
    if (!validity.ok)
      throw new AppError({
        code: 'FAILED_PRECONDITION',
        reason: 'CERTIFICATE_INVALID',
        message: `the control plane answered with a certificate that is not usable: ${validity.error}`,
      });
    await replaceFile(join(draft.directory, CERTIFICATE), identity.certificateChain);
    await replaceFile(join(draft.directory, CA), identity.caBundle);
    const { gateway, gatewayUid, servers } = identity;
    await replaceFile(
      join(draft.directory, ABOUT),
      `${JSON.stringify({ version: VERSION, gateway, gatewayUid, servers }, undefined, 2)}\n`,
    );
    const [old, proven] = [await linkTarget(this.current), await linkTarget(this.previous)];
    if (how === 'renews' && old !== undefined && proven === undefined) await this.point(this.previous, old);
    await this.point(this.current, draft.directory);
    if (how === 'replaces') await rm(this.previous, { force: true });
    await this.sweep();
    return { ...made, validity: validity.value };
  }

  /** Throws NOT_FOUND where the gateway never joined, and says what is wrong where the files do not fit together. */
  async load(): Promise<Identity> {
    const identity = await this.read(this.current);
    if (identity) return identity;
    throw new AppError({
      code: 'NOT_FOUND',
      reason: 'NOT_JOINED',
      message: `this gateway has not joined (there is no identity in ${this.options.stateDir}); run "gwctl gateway add NAME" at the control plane, then "gwctl-agent join JOIN-STRING --state-dir ${this.options.stateDir}" here`,
    });
  }

  /** The identity before this one, while this one was not yet used with success. */
  async loadPrevious(): Promise<Identity | undefined> {
    return this.read(this.previous);
  }

  async dropPrevious(): Promise<void> {
    await rm(this.previous, { force: true });
    await this.sweep();
  }

  private async read(link: string): Promise<Identity | undefined> {
    const directory = await linkTarget(link);
    if (directory === undefined) return undefined;
    const file = async (name: string) => {
      try {
        return await readFile(join(directory, name), 'utf8');
      } catch (cause) {
        throw broken(`${name} cannot be read (${errorCode(cause) ?? String(cause)})`, cause);
      }
    };
    const [privateKey, certificateChain, caBundle, about] = await Promise.all([
      file(KEY),
      file(CERTIFICATE),
      file(CA),
      file(ABOUT),
    ]);
    const fields = parseAbout(about);
    let validity: ReturnType<typeof checkCertificate>;
    try {
      validity = checkCertificate({ privateKey, certificateChain, caBundle });
    } catch (cause) {
      throw broken('the key cannot be read', cause);
    }
    if (!validity.ok) throw broken(validity.error);
    return { ...fields, privateKey, certificateChain, caBundle, validity: validity.value };
  }

  private async point(link: string, directory: string): Promise<void> {
    const temporary = `${link}.tmp`;
    await rm(temporary, { force: true });
    // Relative, so that a state directory that is moved stays whole.
    await symlink(join(DRAFTS, basename(directory)), temporary);
    await rename(temporary, link);
    await syncDirectory(this.options.stateDir);
  }

  /** Removes directories that nothing points to any more, and with them their keys. */
  private async sweep(): Promise<void> {
    const used = new Set([await linkTarget(this.current), await linkTarget(this.previous)]);
    for (const name of await readdir(this.all)) {
      const directory = join(this.all, name);
      if (used.has(directory)) continue;
      await overwrite(join(directory, KEY));
      await rm(directory, { recursive: true, force: true });
    }
  }
}

/** A best effort against undeletion; file systems that copy on write keep the old block whatever we do. */
async function overwrite(path: string): Promise<void> {
  try {
    const { size } = await lstat(path);
    await writeFile(path, randomBytes(size), { flag: 'r+', mode: PRIVATE_FILE });
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
  }
}

async function linkTarget(link: string): Promise<string | undefined> {
  try {
    return join(dirname(link), await readlink(link));
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

function parseAbout(text: string): Pick<Identity, 'gateway' | 'gatewayUid' | 'servers'> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw broken(`${ABOUT} is not JSON`, cause);
  }
  const { version, gateway, gatewayUid, servers } = (value ?? {}) as Record<string, unknown>;
  if (version !== VERSION) throw broken(`${ABOUT} is of version ${String(version)}, this agent knows version ${VERSION}`);
  if (
    typeof gateway !== 'string' ||
    typeof gatewayUid !== 'string' ||
    !Array.isArray(servers) ||
    !servers.every((s): s is string => typeof s === 'string')
  )
    throw broken(`${ABOUT} lacks fields`);
  return { gateway, gatewayUid, servers };
}

function broken(what: string, cause?: unknown): AppError {
  return new AppError({
    code: 'FAILED_PRECONDITION',
    reason: 'IDENTITY_BROKEN',
    message: `the identity in the state directory is not usable: ${what}; join again with a new join string and --force`,
    cause,
  });
}
