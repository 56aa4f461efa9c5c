import { connect, createServer, type Server } from 'node:net';
import { AppError } from '@gwctl/shared/errors/app-error';
import type { Logger } from '@gwctl/shared/logging/logger';
import { descriptorOf } from '../status/status-server.js';
import { peerCredentials } from '../system/peer-credentials.js';
import { errorCode } from './atomic-file.js';

/** An abstract unix socket: it belongs to the network namespace, as the rules do, and goes with the process. */
const NAME = '\0gwctl-agent';

/**
 * Makes this the only agent of its network namespace: two with different state directories would undo each other's rules. Throws
 * AGENT_RUNNING where another one is. Anybody may take such a name, so one that neither root nor our own user holds is only told of.
 */
export async function claimHost(log: Logger, name = NAME): Promise<{ release(): void }> {
  const server = createServer((socket) => socket.destroy());
  if (await listening(server, name)) {
    server.unref();
    return { release: () => void server.close() };
  }
  const holder = await holderOf(name);
  if (holder && (holder.uid === 0 || holder.uid === process.getuid?.()))
    throw new AppError({
      code: 'FAILED_PRECONDITION',
      reason: 'AGENT_RUNNING',
      message: `another agent runs on this host (pid ${holder.pid}), with another state directory; stop it first`,
      metadata: { pid: String(holder.pid) },
    });
  log.warn({ holder }, 'somebody without rights holds the name by which agents of one host find each other; it is not believed');
  return { release: () => undefined };
}

function listening(server: Server, name: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => (errorCode(error) === 'EADDRINUSE' ? resolve(false) : reject(error)));
    server.listen(name, () => resolve(true));
  });
}

/** Who listens there; undefined where it went away meanwhile. */
function holderOf(name: string): Promise<{ readonly pid: number; readonly uid: number } | undefined> {
  return new Promise((resolve) => {
    const socket = connect(name);
    socket.once('error', () => resolve(undefined));
    socket.once('connect', () => {
      const { pid, uid } = peerCredentials(descriptorOf(socket));
      socket.destroy();
      resolve({ pid, uid });
    });
  });
}
