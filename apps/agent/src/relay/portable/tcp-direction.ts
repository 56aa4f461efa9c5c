import type { Socket } from 'node:net';

export interface DirectionOptions {
  readonly from: Socket;
  readonly to: Socket;
  /** Bytes were read. */
  readonly moved: (bytes: number) => void;
  /** Something was taken by the other side. */
  readonly taken: () => void;
  /** All of it arrived, and its end was passed on. */
  readonly done: () => void;
}

/**
 * One way of a connection. Between the sockets stands what one read gave and what `to` did not take yet, at most two times the streams'
 * high-water mark: beyond it `from` is not read. The end is passed on when the last byte was written (see resetSocket).
 */
export class Direction {
  readonly #options: DirectionOptions;
  #ended = false;
  #finished = false;

  constructor(options: DirectionOptions) {
    this.#options = options;
    const { from, to, done } = options;
    from.on('data', this.#data);
    from.on('end', () => {
      this.#ended = true;
      this.#finish();
    });
    to.on('drain', () => from.resume());
    to.on('finish', done);
  }

  /** Puts something in front; before the first byte is read. */
  lead(header: Buffer): void {
    this.#options.to.write(header, this.#written);
  }

  readonly #data = (chunk: Buffer) => {
    const { from, to, moved } = this.#options;
    moved(chunk.length);
    if (!to.write(chunk, this.#written)) from.pause();
  };

  /** The same function for each write: a closure for each would be garbage for each. */
  readonly #written = (error?: Error | null) => {
    if (error) return;
    this.#options.taken();
    if (this.#ended) this.#finish();
  };

  #finish(): void {
    const { to } = this.#options;
    if (this.#finished || to.writableLength > 0 || to.destroyed) return;
    this.#finished = true;
    to.end();
  }
}
