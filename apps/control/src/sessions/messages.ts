import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { durationFromMs, timestampFromMs } from '@bufbuild/protobuf/wkt';
import { SessionResponseSchema } from '@gwctl/proto/gwctl/agent/v1/agent_pb';
import { VERSION } from '@gwctl/shared/version';
import type { WholeState } from '../revisions/revisions.repository.js';
import type { DesiredEntry, FoldedChange } from '../revisions/revisions-core.js';

/** A part of a snapshot holds at most this many bytes of entries, so that no message comes near the limit of 1 MiB. */
const PART_BYTES = 256 * 1024;

type Response = NonNullable<MessageInitShape<typeof SessionResponseSchema>['message']>;

function encode(message: Response): Buffer {
  const bytes = toBinary(SessionResponseSchema, create(SessionResponseSchema, { message }));
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

export const welcome = (session: {
  readonly uid: string;
  readonly epoch: string;
  readonly gateway: string;
  readonly now: number;
}): Buffer =>
  encode({
    case: 'welcome',
    value: {
      sessionId: session.uid,
      epoch: session.epoch,
      gateway: session.gateway,
      controlVersion: VERSION,
      time: timestampFromMs(session.now),
    },
  });

export const resume = (revision: bigint): Buffer => encode({ case: 'resume', value: { revision } });

export const goAway = (reason: string, reconnectAfterMs: number): Buffer =>
  encode({ case: 'goAway', value: { reason, reconnectAfter: durationFromMs(Math.round(reconnectAfterMs)) } });

export const change = (folded: FoldedChange): Buffer =>
  encode({
    case: 'change',
    value: {
      fromRevision: folded.fromRevision,
      revision: folded.revision,
      upserts: folded.upserts.map(wireEntry),
      removals: [...folded.removals],
      digest: folded.digest,
    },
  });

/** The bytes stand in the field that is named for their kind. */
const wireEntry = ({ uid, kind, desired }: DesiredEntry) => ({ uid, [kind]: desired });

/** The whole desired state: begin, parts, end. */
export function* snapshot({ version, entries, allowMassRemoval }: WholeState): Generator<Buffer> {
  const { revision, digest } = version;
  yield encode({ case: 'snapshotBegin', value: { revision, digest, forwards: entries.length, allowMassRemoval } });
  let part: ReturnType<typeof wireEntry>[] = [];
  let size = 0;
  for (const entry of entries) {
    const { length } = entry.desired;
    if (size + length > PART_BYTES && part.length > 0) {
      yield encode({ case: 'snapshotPart', value: { entries: part } });
      part = [];
      size = 0;
    }
    part.push(wireEntry(entry));
    // uid, tags and lengths.
    size += length + 64;
  }
  if (part.length > 0) yield encode({ case: 'snapshotPart', value: { entries: part } });
  yield encode({ case: 'snapshotEnd', value: { revision } });
}
