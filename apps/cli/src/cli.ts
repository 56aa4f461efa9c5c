import type { ArgumentTable, Command, Input, OptionTable } from './command/definition.js';
import { anywhereOptions, DEFAULT_TIMEOUT_MS } from './command/globals.js';
import { parseWords, takesNextWord } from './command/parse.js';
import { suggest } from './command/suggest.js';
import { type Group, resolve, type Unknown, visible } from './command/tree.js';
import { commands } from './commands/index.js';
import { openContext } from './context.js';
import { CliError } from './errors/cli-error.js';
import { EXIT_CODES } from './errors/exit-codes.js';
import { errorLines, toCliError } from './errors/render.js';
import { escapeText } from './output/escape.js';
import type { Format } from './output/format.js';
import type { System } from './system.js';

/** Runs one command line (the words after `gwctl`) and gives the exit code. */
export async function runCli(argv: readonly string[], system: System): Promise<number> {
  try {
    await dispatch(argv, system);
    return EXIT_CODES.ok;
  } catch (error) {
    const failed = toCliError(error);
    for (const line of errorLines(failed)) system.stderr(`${escapeText(line)}\n`);
    return EXIT_CODES[failed.kind];
  }
}

async function dispatch(argv: readonly string[], system: System): Promise<void> {
  const words =
    argv[0] === 'help' ? [...argv.slice(1), '--help'] : argv[0] === '--version' ? ['version', ...argv.slice(1)] : argv;
  const found = resolve(commands, words, takesNextWord(anywhereOptions));
  if ('unknown' in found) throw unknownCommand(found);
  const { node, path, rest } = found;
  if (node.kind === 'group') {
    const stray = rest.find((word) => !['--help', '-h'].includes(word));
    if (stray !== undefined) throw noCommand(path, node, stray);
    const { groupHelp } = await import('./command/help.js');
    system.stdout(await groupHelp(commands, path, node));
    return;
  }
  await runCommand(await node.load(), rest, system);
}

async function runCommand(command: Command, words: readonly string[], system: System): Promise<void> {
  const parsed = parseWords(command, words);
  if (!parsed.ok) throw CliError.usage(parsed.error, `gwctl ${command.path} --help`);
  const { args, options } = parsed.value;
  if (options.help) {
    const { commandHelp } = await import('./command/help.js');
    system.stdout(commandHelp(command));
    return;
  }
  const interrupt = new AbortController();
  const forget = system.onInterrupt(() => interrupt.abort());
  const context = openContext(
    system,
    {
      context: options.context as string | undefined,
      timeoutMs: (options.timeout as number | undefined) ?? DEFAULT_TIMEOUT_MS,
      verbose: options.verbose === true,
    },
    interrupt.signal,
  );
  try {
    await command.run(context, { args, options, output: options.output as Format | undefined } as Input<
      ArgumentTable,
      OptionTable
    >);
  } catch (error) {
    // Whatever a call failed with after Ctrl-C, the reason is Ctrl-C.
    if (interrupt.signal.aborted && !(error instanceof CliError))
      throw new CliError({ kind: 'interrupted', message: 'interrupted' });
    throw error;
  } finally {
    forget();
    context.close();
  }
}

function unknownCommand({ unknown, path, group }: Unknown): CliError {
  const names = visible(group).map(([name]) => name);
  const prefix = ['gwctl', ...path].join(' ');
  const meant = suggest(unknown, names);
  return new CliError({
    kind: 'usage',
    message: `"${unknown}" is not a command of ${prefix}`,
    hint: meant ? `did you mean ${prefix} ${meant}?` : `${prefix} knows: ${names.join(', ')}`,
  });
}

function noCommand(path: readonly string[], group: Group, stray: string): CliError {
  const prefix = ['gwctl', ...path].join(' ');
  return new CliError({
    kind: 'usage',
    message: `${stray} stands where ${prefix} wants a command`,
    hint: `${prefix} knows: ${visible(group)
      .map(([name]) => name)
      .join(', ')}`,
  });
}
