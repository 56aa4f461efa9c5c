import { SO_RCVLOWAT, SOL_SOCKET } from '../../system/native/constants.js';
import { LARGE } from './pipe-pool.js';
import { Rest } from './rests.js';
import type { Half } from './tcp-half.js';

/**
 * A direction that moves so many bytes within so many milliseconds, while nothing at all comes the other way, is bulk that nobody answers
 * to piece by piece. It stays so for as long as it goes on like that. Requests and answers up to this size are never held back.
 */
const STREAK = 8 * 1024 * 1024;
const WITHIN = 250;
/**
 * Bytes that are to have come until the kernel says so (SO_RCVLOWAT): what one move takes. The kernel lowers it to a quarter of
 * net.ipv4.tcp_rmem's largest, and says so earlier where the sender can send no more.
 */
const MARK = LARGE;

/** Who has a direction that rests. */
export interface Rested {
  /** Has it take a further turn. */
  again(): void;
}

/** What it needs of a worker. */
export interface RestGear {
  readonly loop: { readonly now: number; setRest(rest: Rest): void; clearRest(rest: Rest): void };
  setOption(fd: number, level: number, option: number, value: number): boolean;
}

/**
 * Bulk that ran dry is left alone until a megabyte has come, or a rest (`rests.ts`) is over: each byte then costs a third less. The rest is
 * for the sender that has no megabyte more, or waits for an answer first. Ends, resets and the other direction are reported as always.
 */
export class BulkRests {
  readonly #gear: RestGear;

  constructor(gear: RestGear) {
    this.#gear = gear;
  }

  /** After each turn. `moved`, `back`: bytes of this direction and of the other; `flow`: whose direction it is. */
  turned(half: Half, moved: number, back: number, flow: Rested): void {
    const { loop } = this.#gear;
    const found = moved > 0 || !half.looked;
    half.looked = false;
    if (back > 0 || !found) this.#begin(half, false);
    else if (half.bytes - half.streakFrom >= STREAK || loop.now - half.streakAt > WITHIN)
      this.#begin(half, loop.now - half.streakAt <= WITHIN);
    if (!half.patient || half.readable || half.ended || half.piped > 0 || half.left) return;
    half.rest ??= new Rest(() => look(half, flow));
    // What moves nothing must not put off the end of a rest.
    if (moved > 0 || !half.rest.set) loop.setRest(half.rest);
  }

  /** Its socket is closed. */
  ended(half: Half): void {
    if (half.rest) this.#gear.loop.clearRest(half.rest);
  }

  #begin(half: Half, patient: boolean): void {
    half.streakFrom = half.bytes;
    half.streakAt = this.#gear.loop.now;
    // Lowered, it has the kernel report what came meanwhile.
    if (half.patient !== patient && this.#gear.setOption(half.from, SOL_SOCKET, SO_RCVLOWAT, patient ? MARK : 1))
      half.patient = patient;
  }
}

function look(half: Half, flow: Rested): void {
  if (half.readable || !half.patient) return;
  half.readable = half.looked = true;
  flow.again();
}
