import { AppError } from '@gwctl/shared/errors/app-error';

/** Bytes. A batch of forwards has about 100 KiB; a single one with the longest allow-list stays below. */
const LONGEST_LINE = 16 * 1024 * 1024;

const NEWLINE = 10;

/** Cuts what arrives into lines. Throws LINE_TOO_LONG, after which nothing more can be told apart. */
export class LineCutter {
  readonly #longest: number;
  #parts: Buffer[] = [];
  #bytes = 0;

  constructor(longest = LONGEST_LINE) {
    this.#longest = longest;
  }

  /** The lines that `chunk` completes, without their ends. */
  push(chunk: Buffer): string[] {
    const lines: string[] = [];
    let from = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, from)) {
      this.#keep(chunk.subarray(from, end));
      lines.push(this.#take());
      from = end + 1;
    }
    if (from < chunk.length) this.#keep(chunk.subarray(from));
    return lines;
  }

  #keep(part: Buffer): void {
    this.#bytes += part.length;
    if (this.#bytes > this.#longest)
      throw new AppError({
        code: 'INVALID_ARGUMENT',
        reason: 'LINE_TOO_LONG',
        message: `a line of more than ${this.#longest} bytes arrived`,
      });
    this.#parts.push(part);
  }

  #take(): string {
    const [only] = this.#parts;
    const whole = this.#parts.length === 1 && only ? only : Buffer.concat(this.#parts);
    this.#parts = [];
    this.#bytes = 0;
    return whole.toString('utf8');
  }
}
