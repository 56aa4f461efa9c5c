import { join } from 'node:path';
import { AppError } from '@gwctl/shared/errors/app-error';
import type { Logger } from '@gwctl/shared/logging/logger';
import type { Clock } from '../../clock.js';
import { buildId } from '../../relay/build-id.js';
import { Reader } from '../../relay/json-reader.js';
import type { EnginePreference } from '../../relay/process/open-engine.js';
import { parseJson } from '../../relay/protocol.js';
import { relayPaths } from '../../relay/relay-paths.js';
import { RelaySupervisor } from '../../relay/supervisor.js';
import { stateDir } from '../../state-dir/state-dir.js';
import { startDetached } from '../../system/detached-process.js';
import type { Exec } from '../../system/exec.js';
import type { Detection } from '../driver.js';
import { RelayDriver } from './driver.js';

/** Where this program's compiled code is. */
const ROOT = join(import.meta.dirname, '..', '..');

/** The driver of the relay of one state directory. Starts nothing by itself. */
export function openRelay(options: {
  readonly stateDir: string;
  readonly exec: Exec;
  readonly clock: Clock;
  readonly log: Logger;
  /** Default: native where it works. */
  readonly engine?: EnginePreference | undefined;
}): RelayDriver {
  const { exec, clock, log } = options;
  const dir = stateDir(options.stateDir);
  const args = [join(ROOT, 'main.js'), 'relay', '--state-dir', dir.path, ...(options.engine ? ['--engine', options.engine] : [])];
  const program = { program: process.execPath, args: [...args, '--channel'], build: () => buildId(ROOT) };
  return new RelayDriver({
    relay: new RelaySupervisor({ paths: relayPaths(dir), program, start: startDetached, clock, log }),
    trial: () => tryRelay(exec, args),
    clock,
  });
}

/** Runs the program once, as far as to opening an engine. */
async function tryRelay(exec: Exec, args: readonly string[]): Promise<Detection> {
  try {
    const { exitCode, stdout, stderr } = await exec.run({ program: process.execPath, args: [...args, '--check'] });
    if (exitCode !== 0) return { supported: false, detail: `no engine of the relay works here: ${stderr.trim()}` };
    const of = new Reader(parseJson(stdout), 'check');
    const engine = of.must('engine', (v, at) => Reader.text(v, at, 20));
    return { supported: true, detail: `the ${engine} engine works: ${of.must('why', (v, at) => Reader.text(v, at, 10_000))}` };
  } catch (error) {
    return { supported: false, detail: `the relay could not be tried: ${AppError.from(error).message}` };
  }
}
