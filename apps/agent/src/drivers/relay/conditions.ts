import { fewDescriptors } from '../../relay/engine.js';
import type { DriverCondition } from '../driver.js';
import { openText, type RelayObserved } from './observe.js';

/** Milliseconds for which it is told what a relay that died took with it. */
const LOSS_TOLD = 600_000;

/** How the relay stands. Nothing is said where none is needed and none runs. */
export function conditions({ state, now }: RelayObserved): readonly DriverCondition[] {
  const { hello, trouble, upgradeTrouble, use, loss, draining, silent } = state;
  const found: DriverCondition[] = [];
  const add = (type: string, good: boolean, reason: string, message: string) =>
    found.push({ type, status: good ? 'true' : 'false', reason, message });
  if (hello) {
    const others = draining.length === 0 ? '' : `; what flowed through ${pids(draining)} goes on there to its end`;
    add('RelayRunning', true, 'RUNNING', `the relay runs (pid ${hello.pid}, build ${hello.build})${others}`);
    const native = hello.engine === 'native';
    add('RelayEngine', true, native ? 'NATIVE' : 'PORTABLE', `the relay uses its ${hello.engine} engine: ${hello.why}`);
  } else if (trouble !== undefined) add('RelayRunning', false, 'RELAY_DOWN', `no relay runs: ${trouble}`);
  if (upgradeTrouble !== undefined)
    add(
      'RelayUpToDate',
      false,
      'UPGRADE_FAILED',
      `a relay of an older version goes on, since it could not be replaced: ${upgradeTrouble}`,
    );
  if (silent.length > 0) {
    const named = silent.map(({ pid, why }) => `pid ${pid} (${why})`).join(', ');
    add(
      'RelaysAnswer',
      false,
      'RELAY_SILENT',
      `of the relays that only go on with what flows through them, these do not answer: ${named}; what they counted last stays, and "kill -9" ends one with what flows through it`,
    );
  }
  if (use) {
    const { descriptorLimit, paused } = use;
    if (fewDescriptors(use))
      add(
        'RelayHasRoom',
        false,
        'DESCRIPTORS_SHORT',
        `the relay has nearly used up the ${descriptorLimit} descriptors that it may have${paused ? ', and accepts nothing new until some are free' : ''}; raise its limit (LimitNOFILE of the service, ulimit -n)`,
      );
  }
  if (loss && now - loss.at < LOSS_TOLD) {
    const lost = loss.open
      ? `${openText(loss.open)} were open a moment before, and ended`
      : 'how many connections ended is not known';
    const at = new Date(loss.at).toISOString();
    const again = loss.again === undefined ? 'and does not listen yet' : `and listened again ${loss.again - loss.at} ms later`;
    add('RelayUninterrupted', false, 'RELAY_DIED', `the relay (pid ${loss.pid}) ended unexpectedly at ${at} ${again}: ${lost}`);
  }
  return found;
}

const pids = (list: readonly number[]): string => `${list.length === 1 ? 'pid' : 'pids'} ${list.join(', ')}`;
