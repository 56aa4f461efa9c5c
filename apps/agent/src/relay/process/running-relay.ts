import { connect } from 'node:net';
import { AppError } from '@gwctl/shared/errors/app-error';

/** Throws RELAY_RUNNING where somebody listens under this name already. A name that a killed relay left says nothing. */
export async function requireNone(socket: string): Promise<void> {
  const listens = await new Promise<boolean>((resolve) => {
    const probe = connect(socket);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', () => resolve(false));
  });
  if (!listens) return;
  throw new AppError({
    code: 'FAILED_PRECONDITION',
    reason: 'RELAY_RUNNING',
    message: `a relay listens at ${socket} already; end it first ("gwctl-agent cleanup" does)`,
  });
}
