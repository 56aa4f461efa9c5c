import { createLogger, type LogLevel } from '@gwctl/shared/logging/logger';
import { Command } from 'commander';
import { startAgent } from '../agent.js';
import type { DriverPreference } from '../drivers/choose.js';
import { stateDir } from '../state-dir/state-dir.js';
import { INTERRUPTED } from './exit-codes.js';
import { driverOption, logLevelOption, socketOption, stateDirOption } from './shared-options.js';

interface RunFlags {
  readonly stateDir: string;
  readonly driver: DriverPreference;
  readonly policy?: string;
  readonly socket?: string;
  readonly logLevel: LogLevel;
}

export function runCommand(): Command {
  return new Command('run')
    .description('carry the forwards of this gateway until stopped; stopping leaves them in place')
    .addOption(stateDirOption())
    .addOption(driverOption())
    .option('--policy <file>', 'a root-owned file that bounds what the control plane may ask for; SIGHUP reads it again')
    .addOption(socketOption())
    .addOption(logLevelOption())
    .addHelpText(
      'after',
      `
With driver auto the kernel carries what it can: by nftables where that works, else by iptables in the variant that the host uses. The
relay, a process beside the agent, carries the rest, and everything where neither works. With driver relay no rule of the host is touched.

SIGTERM and SIGINT stop the agent, and neither rules nor the relay with it: under a service manager only this process may be ended (with
systemd KillMode=process; examples/gwctl-agent.service is a unit). SIGHUP reads the policy again.

Examples:
  gwctl-agent run --state-dir /var/lib/gwctl-agent
  gwctl-agent run --driver iptables --policy /etc/gwctl/policy.yaml --log-level debug`,
    )
    .action(async (flags: RunFlags) => {
      const log = createLogger({ name: 'gwctl-agent', level: flags.logLevel });
      // Listened for from the beginning: a stop that comes while the agent starts is a stop too.
      const signalled = new Promise<NodeJS.Signals>((resolve) => {
        process.once('SIGTERM', resolve);
        process.once('SIGINT', resolve);
      });
      const agent = await startAgent({
        stateDir: stateDir(flags.stateDir),
        preference: flags.driver,
        log,
        ...(flags.policy === undefined ? {} : { policyFile: flags.policy }),
        ...(flags.socket === undefined ? {} : { socket: flags.socket }),
      });
      process.on('SIGHUP', () => void agent.reload());
      const signal = await signalled;
      log.info({ signal }, 'stopping');
      await agent.stop();
      // What still waits (a thread that listens for announcements) has nothing more to say.
      process.exit(signal === 'SIGINT' ? INTERRUPTED : 0);
    });
}
