import { VERSION } from '@gwctl/shared/version';
import { Command } from 'commander';
import { cleanupCommand } from './cleanup.js';
import { flowsCommand } from './flows.js';
import { joinCommand } from './join.js';
import type { Output } from './output.js';
import { planCommand } from './plan.js';
import { policyCommand } from './policy/check.js';
import { relayCommand } from './relay.js';
import { runCommand } from './run.js';
import { statusCommand } from './status.js';

/** Every command of the agent. Errors of usage throw a CommanderError, all others an AppError. */
export function makeProgram(output: Output): Command {
  const version = new Command('version').description('print the version').action(() => output.data(`gwctl-agent ${VERSION}`));
  const commands = [
    joinCommand(output),
    runCommand(),
    statusCommand(output),
    flowsCommand(output),
    planCommand(output),
    cleanupCommand(output),
    policyCommand(output),
    relayCommand(output),
    version,
  ];
  const program = new Command('gwctl-agent')
    .description('Carries the port forwards of one gateway as its gwctl control plane wants them, and says how they stand.')
    .version(`gwctl-agent ${VERSION}`)
    .addHelpText('after', '\n"gwctl-agent COMMAND --help" shows the flags and examples of a command.');
  for (const command of commands) program.addCommand(command);
  for (const command of everyCommand(program)) command.exitOverride().showHelpAfterError('(add --help for what may be said)');
  return program;
}

const everyCommand = (command: Command): Command[] => [command, ...command.commands.flatMap(everyCommand)];
