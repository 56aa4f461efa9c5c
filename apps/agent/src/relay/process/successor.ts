import { AppError } from '@gwctl/shared/errors/app-error';
import type { Clock, Timer } from '../../clock.js';
import { type DetachedProcess, FIRST_INHERITED, type StartDetached } from '../../system/detached-process.js';
import type { Engine } from '../engine.js';
import { wireForward } from '../wire-forward.js';
import type { Carried } from './carried.js';
import { legacyLine, nextLine, readStarted } from './inheritance.js';

/** Milliseconds that a relay may take to listen. Ten thousand forwards take a second or two. */
const PATIENCE = 30_000;

/**
 * Starts the successor with every listening socket of the engine. They are the same sockets: who waits in their queues is let in by
 * one or the other. Throws where it does not come to listen; nothing has changed then.
 */
export async function handOver(options: {
  readonly start: StartDetached;
  readonly clock: Clock;
  readonly engine: Engine;
  readonly carried: Carried;
  readonly request: { readonly program: string; readonly args: readonly string[] };
  readonly logFile: string;
}): Promise<{ readonly pid: number }> {
  const { start, clock, engine, carried, request, logFile } = options;
  const listening = await engine.listening();
  const { program, args } = request;
  const successor = await start({ program, args, log: logFile, descriptors: listening.map((s) => s.fd) });
  const sockets = listening.map((socket, i) => ({ ...socket, fd: FIRST_INHERITED + i }));
  const forwards = [...carried.entries].map(({ forward, digest }) => ({ json: wireForward(forward).json, digest }));
  await begun(successor, legacyLine({ succeeds: true, sockets, forwards }), clock);
  return { pid: successor.pid };
}

/** Tells a process that was started what it is to go on with, and resolves once it listens. Ends it where it does not come to that. */
export async function begun(process: DetachedProcess, legacy: string, clock: Clock, patience = PATIENCE): Promise<void> {
  const { channel } = process;
  let timer: Timer | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = clock.after(patience, () => reject(failed(`it did not listen within ${patience / 1000} s`)));
  });
  try {
    channel.on('error', () => undefined);
    channel.write(legacy);
    // Its end closes the channel: how it ended says more than that.
    const line = nextLine(channel).catch(async () => Promise.reject(failed(await process.ended)));
    const started = readStarted(await Promise.race([line, late]));
    if (!started.ready) throw failed(started.message);
  } catch (error) {
    process.kill('SIGKILL');
    throw error;
  } finally {
    timer?.cancel();
    channel.destroy();
  }
}

const failed = (why: string) =>
  new AppError({
    code: 'UNAVAILABLE',
    reason: 'RELAY_NOT_STARTED',
    message: `the relay did not start: ${why}; its log is relay.log in the state directory`,
  });
