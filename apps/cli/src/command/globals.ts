import { parseName } from '@gwctl/shared/domain/names';
import { parseChoice } from '../flags/choice.js';
import { parseDuration } from '../flags/duration.js';
import { FORMATS, type Format } from '../output/format.js';
import { type Command, flag, type OptionTable, value } from './definition.js';

/** Milliseconds that one call may take unless --timeout says otherwise. */
export const DEFAULT_TIMEOUT_MS = 15_000;

export const outputOption = (formats: readonly Format[]) =>
  value({
    short: 'o',
    placeholder: formats.join('|'),
    summary: 'Output format',
    parse: parseChoice(formats, 'an output format of this command'),
    complete: formats,
  });

export const connectionOptions = {
  context: value({
    placeholder: 'NAME',
    summary: 'Context of the config file to use instead of the current one',
    parse: parseName,
    complete: 'contexts',
  }),
  timeout: value({
    placeholder: 'DURATION',
    summary: `How long one call to the control plane may take (default ${DEFAULT_TIMEOUT_MS / 1000}s)`,
    parse: parseDuration,
  }),
  verbose: flag({ short: 'v', summary: 'Say on standard error which calls are made, with their request ids' }),
};

export const helpOption = { help: flag({ short: 'h', summary: 'Show this help' }) };

/** Options that may stand before the command's own words as well, so that their values are not taken for a command. */
export const anywhereOptions: OptionTable = { output: outputOption(FORMATS), ...connectionOptions, ...helpOption };

/** The global options that mean something for a command. One of its own by the same name takes their place. */
export function commonOptionsOf(command: Command): OptionTable {
  const common: OptionTable = {
    ...(command.formats.length > 0 ? { output: outputOption(command.formats) } : {}),
    ...(command.connects ? connectionOptions : {}),
    ...helpOption,
  };
  return Object.fromEntries(Object.entries(common).filter(([key]) => !Object.hasOwn(command.options, key)));
}

/** All options of a command. */
export const optionsOf = (command: Command): OptionTable => ({
  ...command.options,
  ...commonOptionsOf(command),
});
