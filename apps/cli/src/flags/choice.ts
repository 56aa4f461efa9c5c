import { err, ok, quote } from '@gwctl/shared/domain/result';
import type { Parser } from '../command/definition.js';

/** One of a few words. `what` completes the sentence `"x" is not ...`. */
export function parseChoice<const T extends string>(words: readonly T[], what: string): Parser<T> {
  return (text) => {
    const word = words.find((w) => w === text);
    return word === undefined ? err(`${quote(text)} is not ${what}; use ${oneOf(words)}`) : ok(word);
  };
}

/** `a, b or c`. */
export const oneOf = (words: readonly string[]): string =>
  words.length < 2 ? (words[0] ?? '') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;
