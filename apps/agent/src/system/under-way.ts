import { setTimeout as pause } from 'node:timers/promises';
import { libcCalls, unlessUnavailable } from './libc.js';

/**
 * Resolves once every packet that the kernel was handling at the call is through. One that met the rules of an early hook in their old
 * form meets those of a later hook no earlier than the rest of its way takes: what it needs there must stand until then.
 */
export type PacketsUnderWay = () => Promise<void>;

/** membarrier(2), for which the C library has no function. Since Linux 4.3. */
const MEMBARRIER: Readonly<Record<string, number>> = { x64: 324, arm64: 283 };
/** MEMBARRIER_CMD_GLOBAL, which was called MEMBARRIER_CMD_SHARED before 4.16. */
const GLOBAL = 1;
/** Milliseconds, where the kernel cannot be asked: far more than a packet needs on a host that is not overwhelmed. */
const LONG_ENOUGH = 50;

interface Calls {
  /** On a thread of its own; `done` gets what the kernel returned. */
  membarrier(done: (result: number) => void): void;
}

const loadCalls = libcCalls<Calls>((func) => {
  const number = MEMBARRIER[process.arch];
  if (number === undefined) throw new Error(`no number of membarrier is known for ${process.arch}`);
  const syscall = func('long syscall(long, int, int, int)');
  return {
    membarrier: (done) =>
      syscall.async(number, GLOBAL, 0, 0, (error: Error | null, result: number) => done(error ? -1 : Number(result))),
  };
});

/**
 * By membarrier(2): it waits for a grace period of RCU (kernel/sched/membarrier.c), under which the kernel takes a packet through all
 * hooks in one go. Some milliseconds. Where that does not work (no native calls, or processors without a tick) it waits 50 ms instead.
 */
export function packetsUnderWay(): PacketsUnderWay {
  let calls = unlessUnavailable(loadCalls);
  return async () => {
    if (calls && (await passed(calls))) return;
    calls = undefined;
    await pause(LONG_ENOUGH);
  };
}

const passed = ({ membarrier }: Calls): Promise<boolean> =>
  new Promise((resolve) => {
    membarrier((result) => resolve(result === 0));
  });
