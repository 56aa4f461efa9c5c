import { open } from 'node:fs/promises';
import { AppError } from '@gwctl/shared/errors/app-error';
import { errorCode } from '../state-dir/atomic-file.js';
import { type Policy, parsePolicy } from './policy.js';

const MOST_BYTES = 1024 * 1024;
const GROUP_OR_OTHERS_MAY_WRITE = 0o022;

/** Reads the policy. A file that somebody other than the agent's own user or root may change is no policy. */
export async function readPolicy(path: string): Promise<Policy> {
  const text = await readTrusted(path);
  // Loaded where it is needed: most agents have no policy.
  const { parse } = await import('yaml');
  let document: unknown;
  try {
    document = parse(text);
  } catch (cause) {
    throw invalid(path, [`it is not YAML: ${cause instanceof Error ? cause.message.split('\n')[0] : String(cause)}`], cause);
  }
  const policy = parsePolicy(document);
  if (policy.ok) return policy.value;
  throw invalid(
    path,
    policy.error.map((v) => `${v.field} ${v.description}`),
  );
}

async function readTrusted(path: string): Promise<string> {
  const file = await open(path, 'r').catch((cause: unknown) => {
    const code = errorCode(cause);
    throw new AppError({
      code: code === 'ENOENT' ? 'NOT_FOUND' : code === 'EACCES' ? 'PERMISSION_DENIED' : 'FAILED_PRECONDITION',
      reason: 'POLICY_UNREADABLE',
      message: `the policy file ${path} cannot be read (${code ?? String(cause)})`,
      cause,
    });
  });
  try {
    const { uid, mode, size } = await file.stat();
    if (uid !== 0 && uid !== process.getuid?.()) throw untrusted(path, `it belongs to user ${uid}; make root its owner`);
    if ((mode & GROUP_OR_OTHERS_MAY_WRITE) !== 0) throw untrusted(path, `others may write it; run "chmod go-w ${path}"`);
    if (size > MOST_BYTES) throw untrusted(path, `it has ${size} bytes; at most ${MOST_BYTES} are read`);
    return await file.readFile('utf8');
  } finally {
    await file.close();
  }
}

const untrusted = (path: string, why: string) =>
  new AppError({
    code: 'FAILED_PRECONDITION',
    reason: 'POLICY_UNTRUSTED',
    message: `the policy file ${path} is not used: ${why}`,
  });

const invalid = (path: string, problems: readonly string[], cause?: unknown) =>
  new AppError({
    code: 'INVALID_ARGUMENT',
    reason: 'POLICY_INVALID',
    message: `the policy file ${path} is not valid: ${problems.join('; ')}`,
    cause,
  });
