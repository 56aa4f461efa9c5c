import type { EngineUse } from '../../relay/engine.js';
import type { CarriedRow, FailureReason } from '../../relay/protocol.js';
import type { RelayState } from '../../relay/relay-state.js';

/** A forward that the relay could not carry as wanted. */
export interface Failure {
  /** Of what was wanted: another forward is another chance. */
  readonly digest: string;
  readonly reason: FailureReason;
  readonly message: string;
}

/** What the relay carries, as it says itself, and how it stands. */
export interface RelayObserved {
  /** By uid; empty where no relay runs. */
  readonly carried: ReadonlyMap<string, CarriedRow>;
  /** By uid. */
  readonly failures: ReadonlyMap<string, Failure>;
  /** Read just now: then what failed is tried again. */
  readonly fresh: boolean;
  readonly state: RelayState;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/** Open connections and clients, for people. */
export function openText({ connections, clients }: Pick<EngineUse, 'connections' | 'clients'>): string {
  const of = (n: number, what: string) => `${n} ${what}${n === 1 ? '' : 's'}`;
  return `${of(connections, 'TCP connection')} and ${of(clients, 'UDP client')}`;
}
