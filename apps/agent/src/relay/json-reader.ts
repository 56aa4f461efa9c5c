import { quote } from '@gwctl/shared/domain/result';
import { AppError } from '@gwctl/shared/errors/app-error';

/** Reads one JSON object of another process field by field. Throws an AppError (MESSAGE_INVALID) at the first that is not as it must be. */
export class Reader {
  readonly #fields: ReadonlyMap<string, unknown>;
  readonly #at: string;
  readonly #taken = new Set<string>();

  constructor(value: unknown, at: string) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw Reader.bad(at, value, 'write an object');
    this.#fields = new Map(Object.entries(value));
    this.#at = at;
  }

  must<T>(field: string, read: (value: unknown, at: string) => T): T {
    this.#taken.add(field);
    return read(this.#fields.get(field), `${this.#at}.${field}`);
  }

  optional<T>(field: string, read: (value: unknown, at: string) => T): T | undefined {
    this.#taken.add(field);
    const value = this.#fields.get(field);
    return value === undefined ? undefined : read(value, `${this.#at}.${field}`);
  }

  /** Nothing may stand there that was not read: it would be something wanted that nobody does. */
  end(): void {
    for (const field of this.#fields.keys())
      if (!this.#taken.has(field)) throw Reader.bad(`${this.#at}.${field}`, this.#fields.get(field), 'there is no such field');
  }

  static text(value: unknown, at: string, longest: number): string {
    if (typeof value !== 'string' || value.length === 0 || value.length > longest)
      throw Reader.bad(at, value, `write a text of 1 to ${longest} characters`);
    return value;
  }

  static integer(value: unknown, at: string, least: number, most: number): number {
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < least || value > most)
      throw Reader.bad(at, value, `write a whole number from ${least} to ${most}`);
    return value;
  }

  static number(value: unknown, at: string): number {
    if (typeof value !== 'number' || !Number.isFinite(value)) throw Reader.bad(at, value, 'write a number');
    return value;
  }

  static flag(value: unknown, at: string): boolean {
    if (typeof value !== 'boolean') throw Reader.bad(at, value, 'write true or false');
    return value;
  }

  static word<T extends string>(value: unknown, at: string, words: readonly T[]): T {
    const word = words.find((w) => w === value);
    if (word === undefined) throw Reader.bad(at, value, `use ${words.join(', ')}`);
    return word;
  }

  static list<T>(value: unknown, at: string, read: (value: unknown, at: string) => T): readonly T[] {
    if (!Array.isArray(value)) throw Reader.bad(at, value, 'write a list');
    return value.map((v, i) => read(v, `${at}[${i}]`));
  }

  static bad(at: string, value: unknown, what: string): AppError {
    const shown = value === undefined ? 'missing' : quote(JSON.stringify(value) ?? String(value));
    return new AppError({
      code: 'INVALID_ARGUMENT',
      reason: 'MESSAGE_INVALID',
      message: `${at} is ${shown}: ${what}`,
    });
  }
}
