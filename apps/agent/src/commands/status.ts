import { Command } from 'commander';
import type { Format } from '../config/options.js';
import { requireReadable, stateDir } from '../state-dir/state-dir.js';
import { renderStatus } from '../status/render.js';
import { readStatus } from '../status/status-client.js';
import type { Output } from './output.js';
import { formatOption, socketOption, stateDirOption } from './shared-options.js';

export function statusCommand(output: Output): Command {
  return new Command('status')
    .description('how the running agent and each of its forwards stand')
    .addOption(stateDirOption())
    .addOption(socketOption())
    .addOption(formatOption())
    .addHelpText(
      'after',
      `
Exits with 1 when no agent runs, and with 4 when you may not ask it.

Examples:
  gwctl-agent status
  gwctl-agent status -o json | jq .desired`,
    )
    .action(async (flags: { readonly stateDir: string; readonly socket?: string; readonly output: Format }) => {
      const dir = stateDir(flags.stateDir);
      if (flags.socket === undefined) await requireReadable(dir);
      const report = await readStatus(flags.socket ?? dir.socket);
      output.data(flags.output === 'json' ? JSON.stringify(report, undefined, 2) : renderStatus(report, Date.now()));
    });
}
