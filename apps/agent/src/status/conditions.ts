import type { Condition } from '@gwctl/shared/domain/status';

/**
 * What can be wrong with the gateway as a whole. Every type says something good, so that "true" is healthy; the reason names what
 * is wrong.
 */
export type ConditionType =
  /** false: STATE_CORRUPT. */
  | 'DesiredStateIntact'
  /** false: CACHE_NOT_PERSISTED. */
  | 'DesiredStatePersisted'
  /** false: PENDING_MASS_DELETE, REVISION_WENT_BACK, TOO_MANY_FORWARDS, DIGEST_MISMATCH, ... */
  | 'DesiredStateAccepted'
  /** false: SETTINGS_INVALID. */
  | 'SettingsAccepted'
  /** false: APPLY_FAILED. */
  | 'Applied'
  /** false: CONTESTED. */
  | 'Uncontested'
  /** false: CERTIFICATE_EXPIRED, CERTIFICATE_NOT_YET_VALID, RENEWAL_FAILED. */
  | 'CertificateValid'
  /** false: KILL_SWITCH. */
  | 'PolicyPermits';

/** The conditions of one gateway; types that were never wrong are not in it. */
export class Conditions {
  private readonly byType = new Map<string, Condition>();
  private fromDriver: ReadonlySet<string> = new Set();
  private readonly listeners = new Set<() => void>();

  constructor(private readonly options: { readonly clock: { now(): number } }) {}

  /** Something is wrong. */
  raise(type: ConditionType, reason: string, message: string): void {
    this.put(type, 'false', reason, message);
  }

  /** It is right again; of a type that was never wrong nothing is said. */
  clear(type: ConditionType, message: string): void {
    if (this.byType.has(type)) this.put(type, 'true', 'OK', message);
  }

  /** What the driver found, all of it: what it named before and does not name now is gone. */
  setFound(found: readonly Omit<Condition, 'since'>[]): void {
    const types = new Set(found.map((c) => c.type));
    for (const type of this.fromDriver) {
      if (!types.has(type) && this.byType.delete(type)) this.notify();
    }
    this.fromDriver = types;
    for (const c of found) this.put(c.type, c.status, c.reason, c.message);
  }

  list(): readonly Condition[] {
    return [...this.byType.values()];
  }

  onChange(listener: () => void): void {
    this.listeners.add(listener);
  }

  private put(type: string, status: Condition['status'], reason: string, message: string): void {
    const old = this.byType.get(type);
    if (old?.status === status && old.reason === reason && old.message === message) return;
    const since = old?.status === status && old.reason === reason ? old.since : this.options.clock.now();
    this.byType.set(type, { type, status, reason, message, since });
    this.notify();
  }

  private notify(): void {
    for (const listener of this.listeners) listener();
  }
}
