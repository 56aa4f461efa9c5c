import { AppError } from '@gwctl/shared/errors/app-error';
import { createLogger } from '@gwctl/shared/logging/logger';
import { VERSION } from '@gwctl/shared/version';
import { Command, CommanderError } from 'commander';
import { parseConfig, processEnvironment, type ServeFlags } from './config/parse-config.js';
import { serve } from './serve.js';

const EXIT_ERROR = 1;
const EXIT_USAGE = 2;

const program = new Command('gwctl-control')
  .description('The control plane of gwctl: API, database and agent sessions. It carries no user traffic.')
  .version(VERSION)
  .exitOverride();

program
  .command('serve')
  .description('Start the control plane. The first start makes the CA and writes DIR/ca.crt and DIR/admin.token.')
  .requiredOption('--data-dir <dir>', 'directory for the CA, the first token and the embedded database')
  .option('--database-url <url>', 'PostgreSQL to use instead of the embedded one (others can read it in the process list)')
  .option('--database-url-file <file>', 'the same, read from a file; GWCTL_DATABASE_URL in the environment works too')
  .option('--listen <host:port>', 'where operators and agents connect (gRPC over TLS)', '127.0.0.1:7443')
  .option('--advertise <host:port>', 'by what they reach it, for certificate and join strings; may repeat', collect, [])
  .option('--http <host:port>', 'where /healthz and /readyz are served', '127.0.0.1:7080')
  .option('--log-level <level>', 'trace, debug, info, warn, error, fatal or silent', 'info')
  .action(start);

function collect(value: string, before: readonly string[]): readonly string[] {
  return [...before, value];
}

async function start(flags: ServeFlags): Promise<void> {
  const config = parseConfig(flags, processEnvironment());
  if (!config.ok) {
    process.stderr.write(`gwctl-control: cannot start:\n${config.error.map((problem) => `  ${problem}\n`).join('')}`);
    process.exitCode = EXIT_USAGE;
    return;
  }
  const logger = createLogger({ name: 'gwctl-control', level: config.value.logLevel });
  process.on('unhandledRejection', (error) => logger.error({ err: error }, 'a failure that nobody handled'));
  const running = await serve(config.value, logger);
  let stopping = false;
  const stop = (signal: NodeJS.Signals): void => {
    if (stopping) return;
    stopping = true;
    logger.info({ signal }, 'stopping');
    running.close().then(
      () => process.exit(0),
      (error: unknown) => {
        logger.error({ err: error }, 'did not stop cleanly');
        process.exit(EXIT_ERROR);
      },
    );
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
}

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : EXIT_USAGE;
  else {
    process.stderr.write(
      `gwctl-control: ${error instanceof AppError ? error.message : ((error as Error).stack ?? String(error))}\n`,
    );
    // Timers of what was half started must not keep the process.
    process.exit(EXIT_ERROR);
  }
}
