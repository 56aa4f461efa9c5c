/**
 * Typed definitions of commands. A command is data (arguments, options, examples) and a run function whose input is derived
 * from that data; help, completion and parsing all read the same definition.
 */
import type { Result } from '@gwctl/shared/domain/result';
import type { Context } from '../context.js';
import type { Format } from '../output/format.js';

/** Reads one word of the command line. The error says the value, what is allowed and what to do. */
export type Parser<T> = (text: string) => Result<T, string>;

/** Where completion finds candidates: names that the control plane knows, contexts of the config file, files, or fixed words. */
export type Completion = 'forwards' | 'egresses' | 'gateways' | 'contexts' | 'files' | readonly string[];

interface OptionBase {
  readonly summary: string;
  readonly short?: string;
}

interface Valued<T> extends OptionBase {
  /** What stands for the value in help, for instance `GW`. */
  readonly placeholder: string;
  readonly parse: Parser<T>;
  readonly complete?: Completion;
}

/** `--gateway GW`, at most once. */
export interface ValueOption<T> extends Valued<T> {
  readonly kind: 'value';
}

/** As {@link ValueOption}; the command is not run without it. */
export interface RequiredOption<T> extends Valued<T> {
  readonly kind: 'required';
}

/** `--target HOST --target HOST`, in the order given. */
export interface ListOption<T> extends Valued<T> {
  readonly kind: 'list';
  readonly required?: boolean;
}

/** `--wait` or `--wait=30s`: the value only after "=", since it may be left out. */
export interface ImpliedOption<T> extends Valued<T> {
  readonly kind: 'implied';
  /** The value of the bare flag. */
  readonly implied: T;
}

/** `--dry-run`. */
export interface SwitchOption extends OptionBase {
  readonly kind: 'switch';
}

/** `--announce` or `--no-announce`; undefined where neither is given. */
export interface ToggleOption extends OptionBase {
  readonly kind: 'toggle';
}

export type AnyOption =
  | ValueOption<unknown>
  | RequiredOption<unknown>
  | ListOption<unknown>
  | ImpliedOption<unknown>
  | SwitchOption
  | ToggleOption;

/** Keys in camel case; the flag is the key in kebab case. */
export type OptionTable = Readonly<Record<string, AnyOption>>;

export type OptionValue<O> =
  O extends RequiredOption<infer T>
    ? T
    : O extends ValueOption<infer T>
      ? T | undefined
      : O extends ListOption<infer T>
        ? readonly T[]
        : O extends ImpliedOption<infer T>
          ? T | undefined
          : O extends ToggleOption
            ? boolean | undefined
            : O extends SwitchOption
              ? boolean
              : never;

export type OptionValues<O extends OptionTable> = { readonly [K in keyof O]: OptionValue<O[K]> };

export interface Argument<T> {
  readonly kind: 'one' | 'optional' | 'many';
  readonly placeholder: string;
  readonly summary: string;
  readonly parse: Parser<T>;
  readonly complete?: Completion;
}

/** Arguments in order; one that takes many words is the last. */
export type ArgumentTable = Readonly<Record<string, Argument<unknown>>>;

export type ArgumentValue<A> = A extends { kind: 'many'; parse: Parser<infer T> }
  ? readonly T[]
  : A extends { kind: 'optional'; parse: Parser<infer T> }
    ? T | undefined
    : A extends { parse: Parser<infer T> }
      ? T
      : never;

export type ArgumentValues<A extends ArgumentTable> = { readonly [K in keyof A]: ArgumentValue<A[K]> };

export interface Input<A extends ArgumentTable, O extends OptionTable> {
  readonly args: ArgumentValues<A>;
  readonly options: OptionValues<O>;
  /** What `-o` said. */
  readonly output: Format | undefined;
}

export interface CommandDefinition<A extends ArgumentTable, O extends OptionTable> {
  /** Words after `gwctl`, for instance `forward add`. */
  readonly path: string;
  /** One line, a capital first, no full stop. */
  readonly summary: string;
  /** What the flags do not say by themselves. */
  readonly description?: string;
  readonly args: A;
  readonly options: O;
  /** Which `-o` formats it knows; none: it has no `-o`. */
  readonly formats: readonly Format[];
  /** Whether it calls the control plane, and so has --context, --timeout and --verbose. */
  readonly connects: boolean;
  readonly examples: readonly Example[];
  /** A method, not a property: that lets a command stand where any command is wanted, though it wants its own kind of input. */
  run(context: Context, input: Input<A, O>): Promise<void>;
}

export interface Example {
  readonly says: string;
  readonly command: string;
}

/** Any command, as the registry, help and completion see it. Its input is built by the parser, from the very same tables. */
export type Command = CommandDefinition<ArgumentTable, OptionTable>;

export const defineCommand = <const A extends ArgumentTable, const O extends OptionTable>(
  definition: CommandDefinition<A, O>,
): CommandDefinition<A, O> => definition;

export const argument = <T>(a: Omit<Argument<T>, 'kind'>) => ({ ...a, kind: 'one' }) as const;
export const optionalArgument = <T>(a: Omit<Argument<T>, 'kind'>) => ({ ...a, kind: 'optional' }) as const;
export const manyArguments = <T>(a: Omit<Argument<T>, 'kind'>) => ({ ...a, kind: 'many' }) as const;

export const value = <T>(o: Valued<T>): ValueOption<T> => ({ ...o, kind: 'value' });
export const required = <T>(o: Valued<T>): RequiredOption<T> => ({ ...o, kind: 'required' });
export const list = <T>(o: Valued<T> & { readonly required?: boolean }): ListOption<T> => ({ ...o, kind: 'list' });
export const implied = <T>(o: Valued<T> & { readonly implied: T }): ImpliedOption<T> => ({ ...o, kind: 'implied' });
export const flag = (o: OptionBase): SwitchOption => ({ ...o, kind: 'switch' });
export const toggle = (o: OptionBase): ToggleOption => ({ ...o, kind: 'toggle' });

/** `onChange` as it is written on the command line: `--on-change`. */
export const flagOf = (key: string): string => `--${key.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)}`;
