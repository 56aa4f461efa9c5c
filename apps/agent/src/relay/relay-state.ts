import type { SilentRelay } from './draining.js';
import type { EngineUse } from './engine.js';
import type { RelayLink } from './link.js';
import type { Hello } from './protocol.js';
import type { RelayedForward } from './types.js';

/** What a relay took with it when it died. */
export interface Loss {
  readonly pid: number;
  /** Milliseconds since the epoch: with the pid, which relay it was. */
  readonly started: number;
  /** Milliseconds since the epoch. */
  readonly at: number;
  /** Open when it last said so, at most a good second earlier; undefined where it never did. */
  readonly open: Pick<EngineUse, 'connections' | 'clients'> | undefined;
  /** When another one listened, with everything carried again. */
  readonly again?: number;
}

/** How the relay stands, for conditions. */
export interface RelayState {
  /** Of the one that listens. */
  readonly hello: Hello | undefined;
  readonly use: EngineUse | undefined;
  /** The last one. */
  readonly loss: Loss | undefined;
  /** Why none runs although one should. */
  readonly trouble: string | undefined;
  /** Why an older program still runs. */
  readonly upgradeTrouble: string | undefined;
  /** Relays that gave up their listeners and go on with what flows through them. */
  readonly draining: readonly number[];
  /** Of those, the ones that do not answer. */
  readonly silent: readonly SilentRelay[];
}

/** What the supervisor asks and tells whoever has the relay looked after. */
export interface Supervision {
  /** What a relay that is started again is to carry from its first moment on. */
  readonly wanted: () => Iterable<RelayedForward>;
  /** One was started again: see to it that it carries what it should. */
  readonly restored: (link: RelayLink) => Promise<void>;
  /** Something about the relay changed. */
  readonly notify: () => void;
}
