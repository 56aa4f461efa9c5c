import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Nobody but the agent's own user reads what the agent keeps: keys, and what the network looks like. */
export const PRIVATE_FILE = 0o600;
export const PRIVATE_DIR = 0o700;

/**
 * Replaces `path` as a whole: whoever reads it, also after a crash or a power cut, finds the old content or the new one. Durable when
 * it resolves. Throws what the file system says (ENOSPC, EROFS, EACCES); the old content then still stands.
 */
export async function replaceFile(path: string, content: string | Uint8Array): Promise<void> {
  const temporary = `${path}.tmp`;
  try {
    const file = await open(temporary, 'w', PRIVATE_FILE);
    try {
      await file.chmod(PRIVATE_FILE);
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncDirectory(dirname(path));
}

/** A new name in a directory survives a power cut only once the directory itself is on the disk. */
export async function syncDirectory(path: string): Promise<void> {
  const dir = await open(path, 'r');
  try {
    await dir.sync();
  } finally {
    await dir.close();
  }
}

/** The `code` of a file system error, undefined for anything else. */
export function errorCode(error: unknown): string | undefined {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : undefined;
}
