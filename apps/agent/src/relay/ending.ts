/** Ends every relay of one directory: asks first, and kills what does not end by itself. */
import { rm } from 'node:fs/promises';
import { AppError } from '@gwctl/shared/errors/app-error';
import { type Clock, pause } from '../clock.js';
import { errorCode } from '../state-dir/atomic-file.js';
import { type KnownProcess, listenersIn, runs } from '../system/socket-holders.js';
import { stopRelay } from './client.js';
import { drainingPids } from './draining.js';
import { type LinkOptions, RelayLink } from './link.js';
import { within } from './patience.js';
import { listensAt } from './process/running-relay.js';
import { isBoundName, type RelayPaths } from './relay-paths.js';

/** Milliseconds that a relay may take to say what it is, to end once it was asked to, and to be gone once it was killed. */
const [ANSWERS, ENDS, GONE] = [5_000, 10_000, 5_000];
const LOOK_EVERY = 20;

/** A relay that did not end when it was asked to. */
export interface KilledRelay {
  readonly pid: number;
  /** Why it was killed, for people. */
  readonly why: string;
}

type Options = Omit<LinkOptions, 'socket' | 'patience'>;

/** The name of a control socket, and why nobody ended who was asked to there. */
interface Unended {
  readonly socket: string;
  readonly error: AppError;
}

/**
 * Resolves once no relay of the directory runs any more, to those that had to be killed. A process is killed only where the kernel says
 * that it holds a control socket that was made in this very directory. Throws RELAY_NOT_ENDED, when all others are ended, where one goes on.
 */
export async function endRelays(paths: RelayPaths, options: Options): Promise<readonly KilledRelay[]> {
  const sockets = [paths.socket, ...(await drainingPids(paths.directory)).map((pid) => paths.draining(pid))];
  const unended = (await Promise.all(sockets.map((socket) => askToEnd(socket, options)))).flatMap((u) => u ?? []);
  const killed: KilledRelay[] = [];
  const left: string[] = [];
  for (const relay of await relaysIn(paths.directory)) {
    const asked = unended.find((u) => u.socket === paths.draining(relay.pid)) ?? unended.find((u) => u.socket === paths.socket);
    const why = asked?.error.message ?? 'another relay has the name of its control socket';
    if (await kill(relay, options.clock)) killed.push({ pid: relay.pid, why });
    else left.push(`the relay with pid ${relay.pid} cannot be killed (${why})`);
  }
  for (const { socket, error } of unended)
    if (error.reason === 'RELAY_UNREACHABLE') left.push(error.message);
    else if (await listensAt(socket)) left.push(`nobody can be found who holds ${socket} (${error.message})`);
    else await rm(socket, { force: true });
  if (left.length > 0) throw notEnded(left);
  return killed;
}

/** Undefined where nobody is there any more. */
async function askToEnd(socket: string, options: Options): Promise<Unended | undefined> {
  let link: RelayLink | undefined;
  try {
    link = await RelayLink.open({ ...options, socket, patience: ANSWERS });
    if (!link) await rm(socket, { force: true });
    else if (!(await within(options.clock, ENDS, stopRelay(link)))) throw slow(link.hello.pid);
    return undefined;
  } catch (thrown) {
    const error = AppError.from(thrown);
    return error.reason === 'RELAY_GONE' ? undefined : { socket, error };
  } finally {
    link?.close();
  }
}

/** Never this process itself, which may be one that tries relays. */
const relaysIn = async (directory: string): Promise<readonly KnownProcess[]> =>
  (await listenersIn(directory, isBoundName)).filter(({ pid }) => pid !== process.pid);

/** Resolves to whether it is gone. */
async function kill(relay: KnownProcess, clock: Clock): Promise<boolean> {
  const end = clock.monotonic() + GONE;
  try {
    if (await runs(relay)) process.kill(relay.pid, 'SIGKILL');
  } catch (error) {
    if (errorCode(error) === 'EPERM') return false;
    if (errorCode(error) !== 'ESRCH') throw error;
  }
  while (await runs(relay)) {
    if (clock.monotonic() > end) return false;
    await pause(clock, LOOK_EVERY);
  }
  return true;
}

const slow = (pid: number) =>
  new AppError({
    code: 'UNAVAILABLE',
    reason: 'RELAY_SILENT',
    message: `the relay (pid ${pid}) did not end within ${ENDS / 1000} s`,
  });

const notEnded = (left: readonly string[]) =>
  new AppError({
    code: 'FAILED_PRECONDITION',
    reason: 'RELAY_NOT_ENDED',
    message: `not every relay could be ended: ${left.join('; ')}; end it by hand ("ss -lxp" shows who holds a socket)`,
  });
