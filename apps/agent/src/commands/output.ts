import { escapeText } from '../status/escape.js';

/** Data goes to standard output, talk to standard error. */
export interface Output {
  data(text: string): void;
  /** One line for people. */
  talk(line: string): void;
}

export const standardOutput: Output = {
  data: (text) => void process.stdout.write(`${text}\n`),
  talk: (line) => void process.stderr.write(`${escapeText(line)}\n`),
};
