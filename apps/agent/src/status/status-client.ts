import { connect } from 'node:net';
import { AppError } from '@gwctl/shared/errors/app-error';
import { errorCode } from '../state-dir/atomic-file.js';
import type { StatusReport } from './report.js';
import type { StatusAnswer } from './status-server.js';

const PATIENCE = 5_000;
/** 50,000 forwards with their conditions stay below this. */
const MOST_BYTES = 256 * 1024 * 1024;

/** Asks the agent behind a status socket. */
export async function readStatus(socket: string): Promise<StatusReport> {
  const text = await readAll(socket).catch((error: unknown) => {
    throw explain(socket, error);
  });
  let answer: StatusAnswer;
  try {
    answer = JSON.parse(text) as StatusAnswer;
  } catch (cause) {
    throw new AppError({
      code: 'UNAVAILABLE',
      reason: 'STATUS_UNREADABLE',
      message: `what answered at ${socket} is no status of an agent of this version`,
      cause,
    });
  }
  if ('error' in answer)
    throw new AppError({ code: 'PERMISSION_DENIED', reason: answer.error.reason, message: answer.error.message });
  return answer.status;
}

function readAll(path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    const chunks: Buffer[] = [];
    let bytes = 0;
    socket.setTimeout(PATIENCE, () => socket.destroy(Object.assign(new Error('no answer'), { code: 'ETIMEDOUT' })));
    socket.on('error', reject);
    socket.on('data', (chunk) => {
      bytes += chunk.length;
      chunks.push(chunk);
      if (bytes > MOST_BYTES) socket.destroy(new Error('the answer has no end'));
    });
    socket.on('end', () => resolve(Buffer.concat(chunks).toString('utf8')));
  });
}

function explain(socket: string, error: unknown): AppError {
  const code = errorCode(error);
  if (code === 'EACCES' || code === 'EPERM')
    return new AppError({
      code: 'PERMISSION_DENIED',
      reason: 'STATUS_DENIED',
      message: `you may not ask the agent at ${socket}; run this as root, or as a member of the group gwctl`,
      cause: error,
    });
  if (code === 'ENOENT' || code === 'ECONNREFUSED')
    return new AppError({
      code: 'UNAVAILABLE',
      reason: 'AGENT_NOT_RUNNING',
      message: `no agent runs here (nothing answers at ${socket}); start it with "gwctl-agent run", or name its --state-dir`,
      cause: error,
    });
  return new AppError({
    code: 'UNAVAILABLE',
    reason: 'STATUS_UNAVAILABLE',
    message: `the agent at ${socket} does not answer (${code ?? String(error)})`,
    cause: error,
  });
}
