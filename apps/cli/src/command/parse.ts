import { err, ok, quote, type Result, type Violation, ViolationList } from '@gwctl/shared/domain/result';
import type { AnyOption, Argument, ArgumentTable, Command, OptionTable } from './definition.js';
import { flagOf } from './definition.js';
import { optionsOf } from './globals.js';
import { suggest } from './suggest.js';

export interface Parsed {
  readonly args: Readonly<Record<string, unknown>>;
  readonly options: Readonly<Record<string, unknown>>;
}

/** One occurrence of a flag. */
interface Occurrence {
  readonly key: string;
  /** Undefined for a bare flag. */
  readonly value: string | undefined;
}

interface Flag {
  readonly key: string;
  readonly option: AnyOption;
  /** Value that the bare flag stands for; undefined where it takes a value from the command line. */
  readonly bare: boolean;
  readonly negated: boolean;
}

/** All spellings of a command's flags. */
export function flagsOf(options: OptionTable): Map<string, Flag> {
  const flags = new Map<string, Flag>();
  for (const [key, option] of Object.entries(options)) {
    const bare = option.kind === 'switch' || option.kind === 'toggle' || option.kind === 'implied';
    flags.set(flagOf(key), { key, option, bare, negated: false });
    if (option.short) flags.set(`-${option.short}`, { key, option, bare, negated: false });
    if (option.kind === 'toggle') flags.set(`--no-${flagOf(key).slice(2)}`, { key, option, bare: true, negated: true });
  }
  return flags;
}

/** Whether an option is followed by its value as the next word. */
export function takesNextWord(options: OptionTable): (word: string) => boolean {
  const flags = flagsOf(options);
  return (word) => flags.get(word)?.bare === false;
}

/**
 * Reads a command's words by its definition. Every mistake is reported, not only the first. Fields of the violations are flags
 * and placeholders as the user writes them.
 */
export function parseWords(command: Command, words: readonly string[]): Result<Parsed, readonly Violation[]> {
  const options = optionsOf(command);
  const bad = new ViolationList();
  const { occurrences, plain } = split(words, flagsOf(options), bad);
  // Whoever asks for help is not told first what else is missing.
  if (occurrences.some((o) => o.key === 'help')) return ok({ args: {}, options: { help: true } });
  const values: Record<string, unknown> = {};
  for (const [key, option] of Object.entries(options))
    values[key] = readOption(
      key,
      option,
      occurrences.filter((o) => o.key === key),
      bad,
    );
  const args = readArguments(command.args, plain, bad);
  return bad.items.length > 0 ? err(bad.items) : ok({ args, options: values });
}

function split(words: readonly string[], flags: ReadonlyMap<string, Flag>, bad: ViolationList) {
  const occurrences: (Occurrence & { readonly negated: boolean })[] = [];
  const plain: string[] = [];
  for (let i = 0; i < words.length; i++) {
    const word = words[i] ?? '';
    if (word === '--') {
      plain.push(...words.slice(i + 1));
      break;
    }
    if (!word.startsWith('-') || word === '-') {
      plain.push(word);
      continue;
    }
    const { name, inline } = splitFlag(word);
    const found = flags.get(name);
    if (!found) {
      const meant = suggest(name, [...flags.keys()]);
      bad.add(quote(name).slice(1, -1), `is not a flag of this command${meant ? `; did you mean ${meant}?` : ''}`);
      // What follows an unknown flag could be its value; nobody knows, so no second complaint about it.
      if (inline === undefined && words[i + 1]?.startsWith('-') === false) i += 1;
      continue;
    }
    const { key, option, bare, negated } = found;
    let value = inline;
    if (bare && inline !== undefined && option.kind !== 'implied') {
      bad.add(name, `takes no value; leave out ${quote(`=${inline}`)}`);
      continue;
    }
    if (!bare && inline === undefined) {
      const next = words[i + 1];
      // A value may begin with "-" only after "=": otherwise a forgotten value would swallow the next flag.
      if (next === undefined || (next.startsWith('-') && next !== '-')) {
        bad.add(name, `needs a value: ${name} ${'placeholder' in option ? option.placeholder : ''}`.trimEnd());
        continue;
      }
      value = next;
      i += 1;
    }
    occurrences.push({ key, value, negated });
  }
  return { occurrences, plain };
}

/** `--name=value`, `-ovalue` and `-o=value` apart. */
function splitFlag(word: string): { name: string; inline: string | undefined } {
  if (word.startsWith('--')) {
    const at = word.indexOf('=');
    return at < 0 ? { name: word, inline: undefined } : { name: word.slice(0, at), inline: word.slice(at + 1) };
  }
  return { name: word.slice(0, 2), inline: word.length > 2 ? word.slice(2).replace(/^=/, '') : undefined };
}

function readOption(
  key: string,
  option: AnyOption,
  given: readonly (Occurrence & { readonly negated: boolean })[],
  bad: ViolationList,
): unknown {
  const name = flagOf(key);
  if (option.kind === 'list') {
    if (option.required && given.length === 0) bad.add(name, `is missing; write ${name} ${option.placeholder}`);
    return given.map((o) => bad.take(name, option.parse(o.value ?? '')));
  }
  if (given.length > 1) bad.add(name, `is given ${given.length} times; once is enough`);
  const [first] = given;
  switch (option.kind) {
    case 'switch':
      return first !== undefined;
    case 'toggle':
      return first && !first.negated;
    case 'implied':
      return first && (first.value === undefined ? option.implied : bad.take(name, option.parse(first.value)));
    case 'value':
    case 'required':
      if (first) return bad.take(name, option.parse(first.value ?? ''));
      if (option.kind === 'required') bad.add(name, `is missing; write ${name} ${option.placeholder}`);
      return undefined;
  }
}

function readArguments(table: ArgumentTable, plain: readonly string[], bad: ViolationList): Record<string, unknown> {
  const args: Record<string, unknown> = {};
  let rest = plain;
  for (const [key, arg] of Object.entries(table)) {
    const taken = arg.kind === 'many' ? rest : rest.slice(0, 1);
    rest = rest.slice(taken.length);
    if (taken.length === 0 && arg.kind !== 'optional') bad.add(arg.placeholder, `is missing: ${arg.summary}`);
    args[key] = readArgument(arg, taken, bad);
  }
  for (const word of rest) bad.add(quote(word), 'is one word too many for this command');
  return args;
}

function readArgument(arg: Argument<unknown>, words: readonly string[], bad: ViolationList): unknown {
  const values = words.map((word) => bad.take(arg.placeholder, arg.parse(word)));
  return arg.kind === 'many' ? values : values[0];
}
