import type { AppError } from '@gwctl/shared/errors/app-error';
import type { Listed, SortedList } from '../../planner/sorted-list.js';
import type { PlacedForward } from '../../planner/types.js';
import type { HandshakeListener } from '../../system/handshakes.js';
import type { Step } from '../driver.js';

/** One half could not be read, so that nothing can be planned for it: it fails, and what follows from that is told. */
export interface UnreadStep extends Step {
  readonly kind: 'unread';
  readonly half: 'kernel' | 'relay';
  readonly error: AppError;
}

export type PairStep<K extends Step, R extends Step> = K | R | UnreadStep;

/** Whose a step is, tells its kind: those of the relay's driver begin so, and no other's. */
const isRelayStep = (step: Step): boolean => step.kind.startsWith('relay-');

/** What the host needs beside rules, before any of them changes: addresses that the relay may want to listen on. */
const isAhead = (step: Step): boolean => step.kind.startsWith('host-');

export const unread = (half: UnreadStep['half'], forwards: Listed<{ readonly key: string }>, error: AppError): UnreadStep => ({
  kind: 'unread',
  half,
  title: `${half}: find out what it carries`,
  forwards: forwards.map((f) => f.key),
  error,
});

/** Whether the relay lets go of a forward that the kernel has by then: never before that. */
export function isLate(step: Step, kernel: SortedList<{ readonly uid: string }>): boolean {
  return step.kind === 'relay-remove' && 'uid' in step && kernel.get(String(step.uid)) !== undefined;
}

/** Where the kernel listens with TCP for what the relay lets go of by these steps. */
export const listenersOf = (late: readonly Step[], kernel: SortedList<PlacedForward>): readonly HandshakeListener[] =>
  late.flatMap((step) => {
    const { listen } = ('uid' in step ? kernel.get(String(step.uid)) : undefined) ?? {};
    if (!listen?.ports || listen.protocol === 'udp') return [];
    return [{ ...(listen.address ? { address: listen.address } : {}), ports: listen.ports }];
  });

export interface Parted<K extends Step, R extends Step> {
  readonly early: readonly R[];
  /** The first of the kernel's half, up to the first rule. */
  readonly ahead: readonly K[];
  readonly kernel: readonly K[];
  readonly late: readonly R[];
  readonly blind: readonly UnreadStep[];
}

/** Takes a plan apart again. `forwards` of the kernel; undefined: nothing is known to move there. */
export function parted<K extends Step, R extends Step>(
  steps: readonly PairStep<K, R>[],
  forwards: SortedList<{ readonly uid: string }> | undefined,
): Parted<K, R> {
  const blind = steps.filter((s): s is UnreadStep => s.kind === 'unread');
  const relay = steps.filter((s): s is R => isRelayStep(s));
  const kernel = steps.filter((s): s is K => s.kind !== 'unread' && !isRelayStep(s));
  const moves = (s: Step) => forwards !== undefined && isLate(s, forwards);
  const rules = kernel.findIndex((s) => !isAhead(s));
  const ahead = rules < 0 ? kernel : kernel.slice(0, rules);
  return {
    early: relay.filter((s) => !moves(s)),
    ahead,
    kernel: rules < 0 ? [] : kernel.slice(rules),
    late: relay.filter(moves),
    blind,
  };
}
