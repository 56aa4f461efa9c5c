import { createLogger } from '@gwctl/shared/logging/logger';
import { Command } from 'commander';
import { systemClock } from '../clock.js';
import type { DriverPreference } from '../drivers/choose.js';
import { together } from '../drivers/part-failure.js';
import { openHost } from '../host.js';
import { claimHost } from '../state-dir/only-agent.js';
import { GROUP, groupId, makeStateDir, stateDir } from '../state-dir/state-dir.js';
import { lockOrExplain } from '../system/file-lock.js';
import type { Output } from './output.js';
import { driverOption, stateDirOption } from './shared-options.js';

export function cleanupCommand(output: Output): Command {
  return new Command('cleanup')
    .description('remove everything of gwctl from this host: chains, hooks, rules; kernel parameters go back to what they were')
    .addOption(stateDirOption())
    .addOption(driverOption())
    .option('--force', 'also while an agent runs, which would put it all back', false)
    .addHelpText(
      'after',
      `
The identity and the desired state stay in the state directory: an agent that is started again carries the forwards again.

Examples:
  gwctl-agent cleanup
  gwctl-agent cleanup --driver iptables-legacy --state-dir /var/lib/gwctl-agent`,
    )
    .action(async (flags: { readonly stateDir: string; readonly driver: DriverPreference; readonly force: boolean }) => {
      const dir = stateDir(flags.stateDir);
      await makeStateDir(dir, await groupId(GROUP));
      const log = createLogger({ name: 'gwctl-agent', level: 'warn' });
      const lock = flags.force ? undefined : lockOrExplain(dir.lock, 'stop it first, or use --force');
      const claim = flags.force ? undefined : await claimHost(log);
      try {
        const host = await openHost({ preference: flags.driver, stateDir: dir.path, log, ...systemClock });
        await all([
          () => host.driver.cleanUp(),
          () => host.cleanLeftovers(),
          // Whatever the driver is now: an earlier agent may have used it.
          () => host.relay.cleanUp(),
        ]).finally(() => {
          for (const { pid, why } of host.relay.killed) output.talk(`the relay with pid ${pid} was killed: ${why}`);
        });
        output.talk(`everything of gwctl is gone from this host (${host.driver.name}); flows through it end`);
      } finally {
        claim?.release();
        lock?.release();
      }
    });
}

/** One after the other, whatever becomes of one of them. Throws what they failed with. */
async function all(steps: readonly (() => Promise<void>)[]): Promise<void> {
  const failures: unknown[] = [];
  for (const step of steps) {
    try {
      await step();
    } catch (error) {
      failures.push(error);
    }
  }
  const failure = together(failures);
  if (failure) throw failure;
}
