import { AppError } from '@gwctl/shared/errors/app-error';
import { CommanderError } from 'commander';
import { exitCodeOf, USAGE } from './commands/exit-codes.js';
import { standardOutput } from './commands/output.js';

// grpc-js names IP addresses as TLS server names, of which Node.js warns each time (DEP0123) and which it leaves out anyway.
process.noDeprecation = true;

try {
  const program =
    process.argv[2] === 'relay'
      ? (await import('./commands/relay.js')).relayProgram(standardOutput)
      : (await import('./commands/program.js')).makeProgram(standardOutput);
  await program.parseAsync();
} catch (error) {
  process.exitCode = explain(error);
}

function explain(error: unknown): number {
  // Commander has said it already; asked for help or version it "fails" with 0.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : USAGE;
  const failure = AppError.from(error);
  standardOutput.talk(`gwctl-agent: ${failure.message}`);
  if (failure.reason === 'INTERNAL' && error instanceof Error) process.stderr.write(`${error.stack ?? error.message}\n`);
  return exitCodeOf(failure);
}
