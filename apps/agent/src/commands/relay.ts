import { Socket } from 'node:net';
import { join } from 'node:path';
import { createLogger, type LogLevel } from '@gwctl/shared/logging/logger';
import { Command, Option } from 'commander';
import { systemClock } from '../clock.js';
import { buildId } from '../relay/build-id.js';
import { type EnginePreference, engines, openEngine } from '../relay/process/open-engine.js';
import { RelayProcess } from '../relay/process/relay-process.js';
import { relayPaths } from '../relay/relay-paths.js';
import { GROUP, groupId, makeRunDir, makeStateDir, stateDir } from '../state-dir/state-dir.js';
import { descriptorOf } from '../status/status-server.js';
import { CHANNEL, startDetached } from '../system/detached-process.js';
import { canNamePeers, peerCredentials } from '../system/peer-credentials.js';
import { engineOption, logLevelOption, stateDirOption } from './base-options.js';
import type { Output } from './output.js';

interface RelayFlags {
  readonly stateDir: string;
  readonly engine: EnginePreference;
  readonly check: boolean;
  readonly channel: boolean;
  readonly logLevel: LogLevel;
}

/** The program as far as the relay needs it: it is started in the middle of traffic, and loading the rest takes longer than all else. */
export function relayProgram(output: Output): Command {
  const program = new Command('gwctl-agent');
  program.addCommand(relayCommand(output).exitOverride().showHelpAfterError('(add --help for what may be said)'));
  return program.exitOverride();
}

export function relayCommand(output: Output): Command {
  return new Command('relay')
    .description('the process that relays connections; the agent starts it by itself, and it goes on when the agent ends')
    .addOption(stateDirOption())
    .addOption(engineOption())
    .option('--check', 'only try whether a relay can run here, and say which engine it would use', false)
    .addOption(new Option('--channel', 'whoever starts it hands something over on descriptor 3').default(false).hideHelp())
    .addOption(logLevelOption())
    .addHelpText(
      'after',
      `
Nobody needs to start it: the agent does, with the first forward that needs it, and its log is then relay.log in the state directory. It
takes orders on run/relay.sock there, from root and its own user. It ends a minute after the last forward and the last connection are
gone. SIGTERM makes it let go of its listeners and end with its last connection, a second one ends it at once; an agent that runs and has
something to relay then starts another one. "gwctl-agent cleanup" ends it for good.

Examples:
  gwctl-agent relay --check
  gwctl-agent relay --engine portable --state-dir /var/lib/gwctl-agent`,
    )
    .action((flags: RelayFlags) => (flags.check ? check(flags, output) : run(flags)));
}

async function check({ engine }: RelayFlags, output: Output): Promise<void> {
  const opened = await openEngine(engines, engine, { inherited: [] });
  const { name } = opened.engine;
  await opened.engine.stop();
  output.data(JSON.stringify({ engine: name, why: opened.why }));
}

async function run(flags: RelayFlags): Promise<void> {
  const dir = stateDir(flags.stateDir);
  const log = createLogger({ name: 'gwctl-relay', level: flags.logLevel });
  // Ends of terminals and sessions are none of its business; it lives as long as what flows through it.
  process.on('SIGHUP', () => undefined);
  // Threads that wait in the kernel keep a process from ending as it otherwise would: better gone, and started again, than half alive.
  process.on('uncaughtException', (error) => {
    log.fatal({ err: error }, 'the relay cannot go on');
    process.kill(process.pid, 'SIGKILL');
  });
  // Read at once, before somebody replaces it, and beside all else.
  const build = buildId(join(import.meta.dirname, '..'));
  const gid = await groupId(GROUP);
  await makeStateDir(dir, gid);
  await makeRunDir(dir, gid);
  const relay = await RelayProcess.start({
    paths: relayPaths(dir),
    gid,
    engine: flags.engine,
    engines,
    credentials: canNamePeers() ? (socket) => peerCredentials(descriptorOf(socket)) : undefined,
    start: startDetached,
    build,
    channel: flags.channel ? new Socket({ fd: CHANNEL, readable: true, writable: true }) : undefined,
    clock: systemClock,
    log,
  });
  const terminate = () => void relay.terminate();
  process.on('SIGTERM', terminate);
  process.on('SIGINT', terminate);
  await relay.ended;
  // Threads of the engine have nothing more to do.
  process.exit(0);
}
