/** Many entries in the encoding of a SnapshotPart, as `toBinary` writes it. */
import { DesiredEntrySchema, SnapshotPartSchema } from '@gwctl/proto/gwctl/agent/v1/agent_pb';
import type { Entry, EntryKind } from './types.js';

/** Wire type 2: a length, then so many bytes (protobuf.dev/programming-guides/encoding). Tags of fields below 16 are one byte. */
const tagOf = ({ number }: { readonly number: number }): number => (number << 3) | 2;

const ENTRIES = tagOf(SnapshotPartSchema.field.entries);
const UID = tagOf(DesiredEntrySchema.field.uid);
const BYTES: Readonly<Record<Exclude<EntryKind, 'unknown'>, number>> = {
  forward: tagOf(DesiredEntrySchema.field.forward),
  egress: tagOf(DesiredEntrySchema.field.egress),
  settings: tagOf(DesiredEntrySchema.field.settings),
};

/** Bytes. An entry that does not fit has one of its own. */
const CHUNK = 1 << 18;

/**
 * The encoded entries, in pieces. Written byte by byte and not by way of messages: those would take several times as long for tens of
 * thousands of entries, and more memory than the entries themselves.
 */
export function encodeEntries(entries: Iterable<Entry>): readonly Uint8Array[] {
  const full: Uint8Array[] = [];
  let chunk = Buffer.allocUnsafe(CHUNK);
  let at = 0;
  for (const { uid, kind, bytes } of entries) {
    const uidLength = Buffer.byteLength(uid);
    const length = lengthOf(uidLength) + (kind === 'unknown' ? 0 : lengthOf(bytes.length));
    const needed = lengthOf(length);
    if (at + needed > chunk.length) {
      full.push(chunk.subarray(0, at));
      chunk = Buffer.allocUnsafe(Math.max(CHUNK, needed));
      at = 0;
    }
    at = writeHead(chunk, at, ENTRIES, length);
    at = writeHead(chunk, at, UID, uidLength);
    at += chunk.write(uid, at);
    if (kind === 'unknown') continue;
    at = writeHead(chunk, at, BYTES[kind], bytes.length);
    chunk.set(bytes, at);
    at += bytes.length;
  }
  return [...full, chunk.subarray(0, at)];
}

/** What a field with so many bytes takes, tag and length included. */
function lengthOf(bytes: number): number {
  let length = 2 + bytes;
  for (let left = bytes >>> 7; left > 0; left >>>= 7) length++;
  return length;
}

function writeHead(into: Buffer, at: number, tag: number, length: number): number {
  let next = at;
  into[next++] = tag;
  let left = length;
  for (; left > 0x7f; left >>>= 7) into[next++] = (left & 0x7f) | 0x80;
  into[next++] = left;
  return next;
}
