import { AppError } from '@gwctl/shared/errors/app-error';
import { CliError } from './cli-error.js';

/** Any error as one that a command ends with. What nobody foresaw is a mistake of gwctl's own, and is shown as such. */
export function toCliError(error: unknown): CliError {
  if (error instanceof CliError) return error;
  if (error instanceof AppError) return CliError.fromApp(error);
  return new CliError({
    kind: 'error',
    message: `gwctl itself failed: ${error instanceof Error ? error.message : String(error)}`,
    hint: 'this is a mistake in gwctl; please report it with the command that you gave',
    cause: error,
  });
}

/** What goes to standard error: what and why, each detail on its own line, what to do. */
export const errorLines = (error: CliError): string[] => [
  `gwctl: ${error.message}`,
  ...error.details.map((d) => `  ${d}`),
  ...(error.hint === undefined ? [] : [`hint: ${error.hint}`]),
];
