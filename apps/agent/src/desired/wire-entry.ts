import type { DesiredEntry } from '@gwctl/proto/gwctl/agent/v1/agent_pb';
import type { Entry } from './types.js';

/**
 * An entry as it travels. The bytes are copied: those of a message are a view of all that arrived with it, and what is kept for long
 * must not hold that too.
 */
export function fromWire({ uid, forward, egress, settings }: DesiredEntry): Entry {
  if (egress.length > 0) return { uid, kind: 'egress', bytes: new Uint8Array(egress) };
  if (settings.length > 0) return { uid, kind: 'settings', bytes: new Uint8Array(settings) };
  return { uid, kind: forward.length > 0 ? 'forward' : 'unknown', bytes: new Uint8Array(forward) };
}

export function toWire({ uid, kind, bytes }: Entry): {
  uid: string;
  forward?: Uint8Array;
  egress?: Uint8Array;
  settings?: Uint8Array;
} {
  return kind === 'unknown' ? { uid } : { uid, [kind]: bytes };
}
