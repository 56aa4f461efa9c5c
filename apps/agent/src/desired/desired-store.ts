import { DEFAULT_SETTINGS, type GatewaySettings } from '@gwctl/shared/domain/gateway-settings';
import type { Logger } from '@gwctl/shared/logging/logger';
import type { Clock, Timer } from '../clock.js';
import { errorCode } from '../state-dir/atomic-file.js';
import type { Conditions } from '../status/conditions.js';
import { DesiredSet, type Refusal } from './desired-set.js';
import { readSettings } from './entry-codec.js';
import type { DesiredFiles } from './files.js';
import { type Removal, removalOf } from './mass-removal.js';
import type { Change, DesiredView, Entry, Held, Snapshot, Source } from './types.js';

export type Outcome =
  | { readonly kind: 'accepted'; readonly held: Held }
  /** Kept aside, see {@link removalOf}; what was held before stands. */
  | { readonly kind: 'pending'; readonly removal: Removal }
  | { readonly kind: 'refused'; readonly refusal: Refusal | { readonly reason: 'REVISION_WENT_BACK'; readonly message: string } };

/** How long after a failed write the next one is tried, milliseconds. */
const RETRY_WRITE = 10_000;

const NOTHING: DesiredView = { complete: false, epoch: '', revision: 0, entries: [], settings: DEFAULT_SETTINGS };

export interface DesiredStoreOptions {
  readonly files: DesiredFiles;
  readonly gatewayUid: string;
  readonly clock: Clock;
  readonly conditions: Conditions;
  readonly log: Logger;
}

/**
 * What this gateway should do, as last accepted: checked, then on the disk, then visible to the reconciler, in this order. A disk
 * that takes nothing more is reported and does not stop the rest.
 */
export class DesiredStore {
  private set: DesiredSet | undefined;
  /** A snapshot that waits for an operator's word, kept up to date by the changes that follow it. */
  private candidate: DesiredSet | undefined;
  private view_: DesiredView = NOTHING;
  private source_: Source = 'disk';
  private time_: number | undefined;
  private onDisk: Held | undefined;
  private settingsFrom: Entry | undefined;
  private retry: Timer | undefined;
  private queue: Promise<unknown> = Promise.resolve();
  private readonly listeners = new Set<() => void>();

  constructor(private readonly options: DesiredStoreOptions) {}

  /** Reads what an earlier life left. Damage is a condition, not an error: the agent starts and waits for a snapshot. */
  async load(): Promise<void> {
    const { files, gatewayUid, log, conditions } = this.options;
    const broken = (message: string) => {
      log.error({ reason: 'STATE_CORRUPT' }, message);
      conditions.raise(
        'DesiredStateIntact',
        'STATE_CORRUPT',
        `${message}; the host is left as it is until the control plane sends a snapshot`,
      );
    };
    let loaded: Awaited<ReturnType<DesiredFiles['load']>>;
    try {
      loaded = await files.load();
    } catch (error) {
      return broken(`the desired state on disk cannot be read: ${messageOf(error)}`);
    }
    if (loaded.kind === 'empty') return;
    if (loaded.kind === 'corrupt') return broken(loaded.message);
    const { snapshot, changes } = loaded;
    if (snapshot.gatewayUid !== gatewayUid) {
      log.warn({ gatewayUid: snapshot.gatewayUid }, 'the desired state on disk is of another gateway and is not used');
      return;
    }
    const set = DesiredSet.of(snapshot);
    if (!set.ok) return broken(set.error.message);
    const staged = set.value.stage(changes.map((c) => c.change));
    if (!staged.ok) return broken(staged.error.message);
    set.value.commit(staged.value);
    this.set = set.value;
    this.onDisk = set.value.held;
    this.time_ = changes.at(-1)?.time ?? snapshot.time;
    this.publish();
    log.info({ revision: set.value.held.revision, forwards: set.value.size }, 'desired state read from disk');
  }

  view(): DesiredView {
    return this.view_;
  }

  /** What a session continues from: undefined where nothing whole is known. */
  held(): Held | undefined {
    return this.set?.held;
  }

  /** What is on the disk, and so may be called accepted. */
  persisted(): Held | undefined {
    return this.onDisk;
  }

  /** Whether the control plane confirmed what is held since the agent started. */
  get source(): Source {
    return this.source_;
  }

  /** When what is held was accepted. */
  get time(): number | undefined {
    return this.time_;
  }

  onChange(listener: () => void): void {
    this.listeners.add(listener);
  }

  /** The control plane said that what is held is right. */
  confirm(): void {
    this.source_ = 'control-plane';
    this.notify();
  }

  acceptSnapshot(snapshot: Snapshot): Promise<Outcome> {
    return this.serialised(async () => {
      const next = DesiredSet.of(snapshot);
      if (!next.ok) return this.refuse(next.error);
      const held = this.set?.held;
      if (held && held.epoch === snapshot.epoch && snapshot.revision < held.revision)
        return this.refuse({
          reason: 'REVISION_WENT_BACK',
          message: `a snapshot of revision ${snapshot.revision} came, but revision ${held.revision} of the same epoch is held; a restored database needs a new epoch`,
        });
      const removal = this.removalBy(next.value);
      if (removal.mass && !snapshot.allowMassRemoval) return this.setAside(next.value, removal);
      return this.adopt(next.value);
    });
  }

  /** Takes changes that follow each other, and what is held, without a gap. All of them or none. */
  acceptChanges(changes: readonly Change[]): Promise<Outcome> {
    return this.serialised(async () => {
      const target = this.candidate ?? this.set;
      if (!target)
        return this.refuse({ reason: 'REVISION_GAP', message: 'a change came, but no snapshot that it could change is held' });
      const staged = target.stage(changes);
      if (!staged.ok) return this.refuse(staged.error);
      if (target === this.candidate) {
        target.commit(staged.value);
        const removal = this.removalBy(target);
        return removal.mass ? this.setAside(target, removal) : this.adopt(target);
      }
      if (this.isWritten() && !this.options.files.appendable) await this.compact();
      const time = this.options.clock.now();
      const written = await this.append(changes, time);
      target.commit(staged.value);
      this.time_ = time;
      if (written) this.onDisk = target.held;
      this.accepted();
      return { kind: 'accepted', held: target.held };
    });
  }

  /** Drops a snapshot that waits: the next session begins from what is held. */
  dropPending(): void {
    this.candidate = undefined;
  }

  async close(): Promise<void> {
    this.retry?.cancel();
    await this.serialised(() => this.options.files.close());
  }

  private removalBy(next: DesiredSet): Removal {
    return removalOf(this.view_.entries, next, this.options.clock.now());
  }

  private refuse(refusal: (Outcome & { kind: 'refused' })['refusal']): Outcome {
    this.options.log.error({ reason: refusal.reason }, refusal.message);
    this.options.conditions.raise('DesiredStateAccepted', refusal.reason, refusal.message);
    return { kind: 'refused', refusal };
  }

  private setAside(next: DesiredSet, removal: Removal): Outcome {
    this.candidate = next;
    const message = `revision ${next.held.revision} would remove ${removal.removed} of ${removal.active} active forwards and is held; if that is meant, say so with "gwctl gateway allow-removal GATEWAY"`;
    this.options.log.error({ reason: 'PENDING_MASS_DELETE' }, message);
    this.options.conditions.raise('DesiredStateAccepted', 'PENDING_MASS_DELETE', message);
    return { kind: 'pending', removal };
  }

  private async adopt(next: DesiredSet): Promise<Outcome> {
    const time = this.options.clock.now();
    const written = await this.write(next, time);
    this.candidate = undefined;
    this.set = next;
    this.time_ = time;
    if (written) this.onDisk = next.held;
    this.options.conditions.clear('DesiredStateIntact', 'a snapshot replaced what was damaged');
    this.accepted();
    return { kind: 'accepted', held: next.held };
  }

  private accepted(): void {
    this.source_ = 'control-plane';
    this.options.conditions.clear('DesiredStateAccepted', 'what the control plane sent was taken');
    this.publish();
    if (this.isWritten() && this.options.files.wantsCompaction) void this.serialised(() => this.compact());
  }

  private isWritten(): boolean {
    return this.retry === undefined;
  }

  private async append(changes: readonly Change[], time: number): Promise<boolean> {
    // While the disk is full, the timer tries; a whole snapshot for each change would only make the shortage worse.
    if (!this.isWritten()) return false;
    try {
      await this.options.files.append(changes.map((change) => ({ change, time })));
      return true;
    } catch (error) {
      this.notWritten(error);
      return false;
    }
  }

  private async write(set: DesiredSet, time: number): Promise<boolean> {
    try {
      await this.options.files.replace({ ...set.held, gatewayUid: this.options.gatewayUid, entries: set.entries(), time });
    } catch (error) {
      this.notWritten(error);
      return false;
    }
    this.retry?.cancel();
    this.retry = undefined;
    this.options.conditions.clear('DesiredStatePersisted', 'the desired state is on the disk again');
    return true;
  }

  private notWritten(error: unknown): void {
    const { log, conditions, clock } = this.options;
    const why = errorCode(error) === 'ENOSPC' ? 'the disk is full' : messageOf(error);
    log.error({ err: error, reason: 'CACHE_NOT_PERSISTED' }, 'the desired state could not be written');
    conditions.raise(
      'DesiredStatePersisted',
      'CACHE_NOT_PERSISTED',
      `the desired state could not be written (${why}); forwarding goes on, but a restart without the control plane would bring back revision ${this.onDisk?.revision ?? 0}`,
    );
    this.retry?.cancel();
    this.retry = clock.after(RETRY_WRITE, () => void this.serialised(() => this.compact()));
  }

  private async compact(): Promise<void> {
    if (!this.set) return;
    if ((await this.write(this.set, this.time_ ?? this.options.clock.now())) && this.onDisk !== this.set.held) {
      this.onDisk = this.set.held;
      this.notify();
    }
  }

  private publish(): void {
    if (!this.set) return;
    const { epoch, revision } = this.set.held;
    this.view_ = { complete: true, epoch, revision, entries: this.set.reads(), settings: this.settings(this.set) };
    this.notify();
  }

  /** What cannot be read changes nothing: the settings of before stay, and the gateway says so. */
  private settings(set: DesiredSet): GatewaySettings {
    const entry = set.settings();
    if (entry === this.settingsFrom) return this.view_.settings;
    this.settingsFrom = entry;
    const read = entry ? readSettings(entry) : { ok: true as const, value: DEFAULT_SETTINGS };
    const type = 'SettingsAccepted';
    if (read.ok) this.options.conditions.clear(type, 'the settings of the gateway were taken');
    else
      this.options.conditions.raise(
        type,
        'SETTINGS_INVALID',
        `the settings of the gateway are not taken: ${read.error.map((v) => `${v.field}: ${v.description}`).join('; ')}`,
      );
    return read.ok ? read.value : this.view_.settings;
  }

  private notify(): void {
    for (const listener of this.listeners) listener();
  }

  private serialised<T>(run: () => Promise<T>): Promise<T> {
    const result = this.queue.then(run);
    this.queue = result.catch(() => undefined);
    return result;
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
