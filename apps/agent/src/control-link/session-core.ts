/**
 * What one session may say and when, as a pure state machine: messages in, effects out. It knows no stream, no disk and no clock.
 */
import { DIGEST_BYTES } from '@gwctl/shared/domain/digest';
import { type Change, type Entry, type Held, MAX_FORWARDS, type Snapshot } from '../desired/types.js';

/** A snapshot that weighs more than this is not waited for: 50,000 forwards of ordinary size weigh a twentieth of it. */
const MAX_SNAPSHOT_BYTES = 256 * 1024 * 1024;

/** What the control plane says, as the mapper read it. */
export type Inbound =
  | {
      readonly kind: 'welcome';
      readonly sessionId: string;
      readonly epoch: string;
      readonly gateway: string;
      readonly controlVersion: string;
      /** The control plane's clock, where it said so. */
      readonly time?: number;
    }
  | { readonly kind: 'resume'; readonly revision: number }
  | {
      readonly kind: 'snapshot-begin';
      readonly revision: number;
      readonly forwards: number;
      readonly digest: Uint8Array;
      readonly allowMassRemoval: boolean;
    }
  | { readonly kind: 'snapshot-codec'; readonly entries: readonly Entry[] }
  | { readonly kind: 'snapshot-end'; readonly revision: number }
  | { readonly kind: 'change'; readonly change: Change }
  | { readonly kind: 'go-away'; readonly reconnectAfter: number; readonly reason: string }
  /** A message of a newer control plane. */
  | { readonly kind: 'unknown' };

export type SessionState =
  | { readonly phase: 'hello' }
  | { readonly phase: 'welcomed'; readonly epoch: string }
  | {
      readonly phase: 'snapshot';
      readonly epoch: string;
      readonly begin: Inbound & { readonly kind: 'snapshot-begin' };
      /** Grows in place: the parts of one snapshot are kept once. */
      readonly entries: Entry[];
      readonly bytes: number;
    }
  | { readonly phase: 'live'; readonly epoch: string; readonly revision: number }
  | { readonly phase: 'ended' };

/** How the next session should begin: with what is held, or with nothing, so that a snapshot comes. */
export type Ask = 'resume' | 'snapshot';

export type Effect =
  | { readonly kind: 'welcomed'; readonly welcome: Inbound & { readonly kind: 'welcome' } }
  | { readonly kind: 'resumed' }
  | { readonly kind: 'snapshot'; readonly snapshot: Snapshot }
  | { readonly kind: 'change'; readonly change: Change }
  | { readonly kind: 'leave'; readonly after: number; readonly reason: string }
  | { readonly kind: 'ignored' }
  | { readonly kind: 'end'; readonly reason: EndReason; readonly message: string; readonly ask: Ask };

export type EndReason = 'PROTOCOL_VIOLATION' | 'REVISION_GAP' | 'RESUME_MISMATCH' | 'TOO_MANY_FORWARDS';

export interface Step {
  readonly state: SessionState;
  readonly effect?: Effect;
}

export const begun: SessionState = { phase: 'hello' };

/** Takes one message. `hello` is what the session's Hello said is held: undefined where it asked for a snapshot. */
export function step(state: SessionState, message: Inbound, hello: Held | undefined): Step {
  if (state.phase === 'ended') return { state };
  if (message.kind === 'unknown') return { state, effect: { kind: 'ignored' } };
  if (message.kind === 'go-away')
    return { state, effect: { kind: 'leave', after: message.reconnectAfter, reason: message.reason } };
  switch (state.phase) {
    case 'hello':
      if (message.kind !== 'welcome') return violation(`${message.kind} came before the welcome`);
      if (message.epoch === '') return violation('the welcome names no epoch');
      return { state: { phase: 'welcomed', epoch: message.epoch }, effect: { kind: 'welcomed', welcome: message } };
    case 'welcomed':
      if (message.kind === 'resume') return resume(state.epoch, message.revision, hello);
      if (message.kind === 'snapshot-begin') return beginSnapshot(state.epoch, message);
      return violation(`${message.kind} came before a snapshot or a resume`);
    case 'snapshot':
      return inSnapshot(state, message);
    case 'live':
      if (message.kind === 'snapshot-begin') return beginSnapshot(state.epoch, message);
      if (message.kind !== 'change') return violation(`${message.kind} came in the midst of a session`);
      return change(state, message.change);
  }
}

function resume(epoch: string, revision: number, hello: Held | undefined): Step {
  if (!hello || hello.epoch !== epoch || hello.revision !== revision)
    return end(
      'RESUME_MISMATCH',
      `the control plane resumes at revision ${revision} of epoch ${epoch}, but ${hello ? `revision ${hello.revision} of epoch ${hello.epoch}` : 'nothing'} is held`,
      'snapshot',
    );
  return { state: { phase: 'live', epoch, revision }, effect: { kind: 'resumed' } };
}

function beginSnapshot(epoch: string, begin: Inbound & { kind: 'snapshot-begin' }): Step {
  if (begin.forwards > MAX_FORWARDS)
    return end(
      'TOO_MANY_FORWARDS',
      `a snapshot of ${begin.forwards} forwards is announced; a gateway carries at most ${MAX_FORWARDS}`,
      'resume',
    );
  if (begin.digest.length !== DIGEST_BYTES) return violation(`a snapshot has a digest of ${begin.digest.length} bytes`);
  return { state: { phase: 'snapshot', epoch, begin, entries: [], bytes: 0 } };
}

function inSnapshot(state: SessionState & { phase: 'snapshot' }, message: Inbound): Step {
  const { begin, entries, epoch } = state;
  switch (message.kind) {
    case 'snapshot-codec': {
      if (entries.length + message.entries.length > begin.forwards)
        return violation(`a snapshot of ${begin.forwards} forwards has more of them`);
      const bytes = message.entries.reduce((sum, entry) => sum + entry.bytes.length, state.bytes);
      if (bytes > MAX_SNAPSHOT_BYTES) return violation(`a snapshot has more than ${MAX_SNAPSHOT_BYTES} bytes`);
      entries.push(...message.entries);
      return { state: { ...state, bytes } };
    }
    case 'snapshot-end':
      if (message.revision !== begin.revision)
        return violation(`a snapshot of revision ${begin.revision} ends as one of revision ${message.revision}`);
      if (entries.length !== begin.forwards)
        return violation(`a snapshot of ${begin.forwards} forwards ends after ${entries.length}`);
      return {
        state: { phase: 'live', epoch, revision: begin.revision },
        effect: {
          kind: 'snapshot',
          snapshot: {
            epoch,
            revision: begin.revision,
            digest: begin.digest,
            entries,
            allowMassRemoval: begin.allowMassRemoval,
          },
        },
      };
    // The control plane found something newer while it sent; what came so far does not count.
    case 'snapshot-begin':
      return beginSnapshot(epoch, message);
    default:
      return violation(`${message.kind} came in the midst of a snapshot`);
  }
}

function change(state: SessionState & { phase: 'live' }, next: Change): Step {
  if (next.digest.length !== DIGEST_BYTES) return violation(`a change has a digest of ${next.digest.length} bytes`);
  if (next.from !== state.revision || next.revision <= next.from)
    return end(
      'REVISION_GAP',
      `a change from revision ${next.from} to ${next.revision} came, but the session is at revision ${state.revision}`,
      'resume',
    );
  return { state: { ...state, revision: next.revision }, effect: { kind: 'change', change: next } };
}

function end(reason: EndReason, message: string, ask: Ask): Step {
  return { state: { phase: 'ended' }, effect: { kind: 'end', reason, message, ask } };
}

const violation = (message: string): Step => end('PROTOCOL_VIOLATION', message, 'resume');
