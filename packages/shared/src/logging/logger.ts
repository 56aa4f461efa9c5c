import { type DestinationStream, type Logger, pino } from 'pino';

export type { Logger };

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';

/** Fields that may hold secrets, wherever they stand at the first two levels of a log line. */
const SECRET_FIELDS = ['token', 'authorization', 'password', 'joinString', 'key', 'privateKey', 'databaseUrl', 'csr'];

/** JSON lines on standard error (standard output belongs to data). Times are ISO 8601 in UTC. */
export function createLogger(options: {
  readonly name: string;
  readonly level?: LogLevel;
  readonly destination?: DestinationStream;
}): Logger {
  return pino(
    {
      name: options.name,
      level: options.level ?? 'info',
      timestamp: pino.stdTimeFunctions.isoTime,
      redact: { paths: SECRET_FIELDS.flatMap((f) => [f, `*.${f}`]), censor: '[secret]' },
    },
    options.destination ?? pino.destination({ dest: 2, sync: true }),
  );
}
