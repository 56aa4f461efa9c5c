import type { DesiredEntry } from '@gwctl/proto/gwctl/agent/v1/agent_pb';
import type { Entry } from './types.js';

/**
 * An entry as it travels. Its bytes are a view of all that arrived with it: whoever keeps them for long makes a copy, as
 * {@link DesiredSet} does.
 */
export function fromWire({ uid, forward, egress, settings }: DesiredEntry): Entry {
  if (egress.length > 0) return { uid, kind: 'egress', bytes: egress };
  if (settings.length > 0) return { uid, kind: 'settings', bytes: settings };
  return { uid, kind: forward.length > 0 ? 'forward' : 'unknown', bytes: forward };
}

export function toWire({ uid, kind, bytes }: Entry): {
  uid: string;
  forward?: Uint8Array;
  egress?: Uint8Array;
  settings?: Uint8Array;
} {
  return kind === 'unknown' ? { uid } : { uid, [kind]: bytes };
}
