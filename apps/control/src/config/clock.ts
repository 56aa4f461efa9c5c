/** The one source of wall-clock time, so that tests own it. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
}

export const systemClock: Clock = { now: () => Date.now() };

/** Injection token of {@link Clock}. */
export const CLOCK = Symbol('Clock');
/** Injection token of the application's pino logger. */
export const LOGGER = Symbol('Logger');
