import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { callFailed } from './errno.js';
import { errno, libcCalls, unlessUnavailable } from './libc.js';

/** Bytes that a pipe of Node.js (a socket) takes in one call, with room to spare: net.core.wmem_default is 212,992. */
export const AT_ONCE = 65_536;

/** MFD_CLOEXEC (memfd_create(2), Linux 3.17). */
const CLOEXEC = 1;

interface Calls {
  memfdCreate(name: string, flags: number): number;
  errno(): number;
}

const loadCalls = libcCalls<Calls>((func) => ({ memfdCreate: func('int memfd_create(const char *, unsigned int)'), errno }));

/**
 * A file without a name that holds all of `text`, to be read from its start; the caller closes it. A program that gets its input so
 * gets all of it, even if this process is killed at once: of a pipe it would take what had been written so far for the whole, and a
 * beginning may well be a valid transaction. Throws SYSTEM_CALL_FAILED, or what the file system says where memory cannot be had.
 */
export function wholeInput(text: string): number {
  const file = inMemory() ?? unlinked();
  try {
    const bytes = Buffer.from(text);
    // At positions: what the program reads from stays at the start.
    for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at, bytes.length - at, at);
    return file;
  } catch (error) {
    closeSync(file);
    throw error;
  }
}

/** Undefined where native calls do not work. */
function inMemory(): number | undefined {
  const calls = unlessUnavailable(loadCalls);
  if (!calls) return undefined;
  const file = calls.memfdCreate('gwctl-input', CLOEXEC);
  if (file < 0) throw callFailed(calls, 'memfd_create');
  return file;
}

function unlinked(): number {
  const directory = mkdtempSync(join(tmpdir(), 'gwctl-input-'));
  try {
    return openSync(join(directory, 'input'), 'wx+', 0o600);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
