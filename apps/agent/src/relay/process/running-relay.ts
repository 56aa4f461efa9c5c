import { connect } from 'node:net';
import { AppError } from '@gwctl/shared/errors/app-error';
import { errorCode } from '../../state-dir/atomic-file.js';

/** Throws RELAY_RUNNING where somebody listens under this name already. A name that a killed relay left says nothing. */
export async function requireNone(socket: string): Promise<void> {
  if (!(await listensAt(socket))) return;
  throw new AppError({
    code: 'FAILED_PRECONDITION',
    reason: 'RELAY_RUNNING',
    message: `a relay listens at ${socket} already; end it first ("gwctl-agent cleanup" does)`,
  });
}

/** Whether somebody listens under this name, whether or not he accepts anybody. */
export function listensAt(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(socket);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    // The queue is full: somebody has it, and hangs.
    probe.once('error', (error) => resolve(errorCode(error) === 'EAGAIN'));
  });
}
