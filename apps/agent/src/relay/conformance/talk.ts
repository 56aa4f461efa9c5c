import type { Socket } from 'node:net';
import { resetSocket } from '../portable/reset.js';
import { Dice, Pattern } from './pattern.js';

/** What one side of a connection does, told by a seed. */
export interface Role {
  readonly seed: number;
  /** Payload of this side. */
  readonly length: number;
  /** Resets when it sent and got this many bytes together; undefined: it ends in order. */
  readonly resetAfter?: number;
  /** Starts to send only when the other side has ended: what a half-closed connection carries. */
  readonly waits: boolean;
}

export interface Outcome {
  /** How the other side's direction ended here. `own reset`: this side reset before. */
  readonly saw: 'end' | 'reset' | 'own reset';
  readonly received: number;
  /** First place where something else came than was sent. */
  readonly wrongAt: number | undefined;
  /** All of its own was written, and its end. */
  readonly finished: boolean;
}

const LARGEST_CHUNK = 262_144;

/** Plays one side: sends its payload in random pieces with pauses, and compares what it gets with the other's pattern. */
export class Talk {
  readonly done: Promise<Outcome>;
  readonly #socket: Socket;
  readonly #role: Role;
  readonly #dice: Dice;
  readonly #own: Pattern;
  #theirs: Pattern | undefined;
  #sent = 0;
  #received = 0;
  #wrongAt: number | undefined;
  #finished = false;
  #settle: (outcome: Outcome) => void = () => {};

  constructor(socket: Socket, role: Role, theirs?: number) {
    this.#socket = socket;
    this.#role = role;
    this.#dice = new Dice(role.seed);
    this.#own = new Pattern(role.seed);
    this.#theirs = theirs === undefined ? undefined : new Pattern(theirs);
    this.done = new Promise((resolve) => {
      this.#settle = resolve;
    });
    socket.on('data', (chunk) => this.#got(chunk));
    socket.on('end', () => this.#over('end'));
    socket.on('error', () => this.#over('reset'));
    socket.on('finish', () => {
      this.#finished = true;
    });
    socket.on('close', () => this.#over('reset'));
    if (!role.waits) this.#write();
  }

  #write(): void {
    const { length } = this.#role;
    while (!this.#socket.destroyed && !this.#socket.writableEnded) {
      if (this.#mustReset()) return;
      if (this.#sent === length) {
        this.#socket.end();
        return;
      }
      const size = Math.min(length - this.#sent, 1 + Math.floor(this.#dice.next() ** 3 * LARGEST_CHUNK));
      const fits = this.#socket.write(this.#own.at(this.#sent, size));
      this.#sent += size;
      const go = () => this.#write();
      if (!fits) return void this.#socket.once('drain', go);
      if (this.#dice.chance(0.2)) return void setTimeout(go, this.#dice.upTo(3));
      if (this.#dice.chance(0.3)) return void setImmediate(go);
    }
  }

  #got(chunk: Buffer): void {
    if (this.#wrongAt === undefined && this.#theirs && !this.#theirs.matches(this.#received, chunk))
      this.#wrongAt = this.#received;
    this.#received += chunk.length;
    if (this.#mustReset() || !this.#dice.chance(0.05)) return;
    this.#socket.pause();
    setTimeout(() => this.#socket.resume(), this.#dice.upTo(5));
  }

  #mustReset(): boolean {
    const { resetAfter } = this.#role;
    if (resetAfter === undefined || this.#sent + this.#received < resetAfter) return false;
    this.#over('own reset');
    resetSocket(this.#socket);
    return true;
  }

  #over(saw: Outcome['saw']): void {
    if (saw === 'end' && this.#role.waits && this.#sent === 0) this.#write();
    const settle = () => this.#settle({ saw, received: this.#received, wrongAt: this.#wrongAt, finished: this.#finished });
    // The end of the other side is not the end of ours.
    if (saw === 'end' && !this.#finished) this.#socket.once('finish', settle).once('close', settle);
    else settle();
  }
}
