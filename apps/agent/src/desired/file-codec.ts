/**
 * The two files that hold the desired state. The snapshot is one JSON line (format, version, gateway, revision, digest, time), an
 * encoded SnapshotPart and the SHA-256 of all that. The journal is one JSON line that says which snapshot it continues, then one
 * record per change: magic, length and their CRC, time, an encoded Change, SHA-256 of the record.
 */
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { ChangeSchema, SnapshotPartSchema } from '@gwctl/proto/gwctl/agent/v1/agent_pb';
import { digestsEqual } from '@gwctl/shared/domain/digest';
import { encodeEntries } from './snapshot-codec.js';
import type { Change, Entry, Held } from './types.js';
import { fromWire, toWire } from './wire-entry.js';

const SNAPSHOT_FORMAT = 'gwctl-desired';
const JOURNAL_FORMAT = 'gwctl-desired-journal';
/** Raised when an older agent could not read the files any more. */
const VERSION = 1;

const MAGIC = 0x47574a31;
const RECORD_HEADER = 12;
const TIME = 8;
const CHECKSUM = 32;
/** A change is one message of at most 1 MiB; a length beyond this is damage. */
const LONGEST_RECORD = 4 * 1024 * 1024;

export interface StoredSnapshot extends Held {
  readonly gatewayUid: string;
  readonly entries: readonly Entry[];
  /** When it was accepted, milliseconds since the epoch. */
  readonly time: number;
}

export interface StoredChange {
  readonly change: Change;
  readonly time: number;
}

export type Decoded<T> = { readonly kind: 'ok'; readonly value: T } | { readonly kind: 'corrupt'; readonly message: string };

export interface Journal {
  readonly changes: readonly StoredChange[];
  /** Up to here the file is good; what follows is a record that was never finished, and so never acknowledged. */
  readonly goodLength: number;
}

const sha256 = (...parts: Uint8Array[]): Buffer => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
};
const corrupt = (message: string) => ({ kind: 'corrupt', message }) as const;

export function encodeSnapshot(snapshot: StoredSnapshot): Uint8Array {
  const header = line({
    format: SNAPSHOT_FORMAT,
    version: VERSION,
    gatewayUid: snapshot.gatewayUid,
    ...heldFields(snapshot),
    time: snapshot.time,
    forwards: snapshot.entries.length,
  });
  const body = encodeEntries(snapshot.entries);
  return Buffer.concat([header, ...body, sha256(header, ...body)]);
}

export function decodeSnapshot(bytes: Buffer): Decoded<StoredSnapshot> {
  const header = readLine(bytes, SNAPSHOT_FORMAT);
  if (header.kind !== 'ok') return header;
  const { fields, length } = header.value;
  if (bytes.length < length + CHECKSUM) return corrupt('the snapshot file is cut short');
  const end = bytes.length - CHECKSUM;
  if (!sha256(bytes.subarray(0, end)).equals(bytes.subarray(end)))
    return corrupt('the snapshot file does not match its checksum');
  const held = readHeld(fields);
  const { gatewayUid, time } = fields;
  if (!held || typeof gatewayUid !== 'string' || typeof time !== 'number') return corrupt('the snapshot file lacks fields');
  const part = fromBinary(SnapshotPartSchema, bytes.subarray(length, end));
  return {
    kind: 'ok',
    value: { ...held, gatewayUid, time, entries: part.entries.map(fromWire) },
  };
}

/** The line that a new journal starts with: which snapshot its changes belong on top of. */
export function encodeJournalHeader(base: Held): Uint8Array {
  return line({ format: JOURNAL_FORMAT, version: VERSION, ...heldFields(base) });
}

export function encodeRecord({ change, time }: StoredChange): Uint8Array {
  const payload = toBinary(
    ChangeSchema,
    create(ChangeSchema, {
      fromRevision: BigInt(change.from),
      revision: BigInt(change.revision),
      upserts: change.upserts.map(toWire),
      removals: [...change.removals],
      digest: change.digest,
    }),
  );
  const header = Buffer.alloc(RECORD_HEADER + TIME);
  header.writeUInt32BE(MAGIC, 0);
  header.writeUInt32BE(TIME + payload.length, 4);
  header.writeUInt32BE(crc32(header.subarray(0, 8)), 8);
  header.writeBigUInt64BE(BigInt(Math.trunc(time)), RECORD_HEADER);
  return Buffer.concat([header, payload, sha256(header, payload)]);
}

/**
 * Reads a journal that continues `base`. A last record that is not whole is left out: it was never acknowledged. Damage anywhere
 * else is corruption. `stale`: it continues an older snapshot, so all it holds is in the newer one.
 */
export function decodeJournal(bytes: Buffer, base: Held): Decoded<Journal> | { readonly kind: 'stale' } {
  const header = readLine(bytes, JOURNAL_FORMAT);
  if (header.kind !== 'ok') return header;
  const of = readHeld(header.value.fields);
  if (!of) return corrupt('the journal lacks fields');
  if (of.epoch !== base.epoch || of.revision !== base.revision || !digestsEqual(of.digest, base.digest)) {
    return of.epoch === base.epoch && of.revision > base.revision
      ? corrupt(`the journal continues revision ${of.revision}, but the snapshot is of revision ${base.revision}`)
      : { kind: 'stale' };
  }
  const changes: StoredChange[] = [];
  let at = header.value.length;
  while (at < bytes.length) {
    const record = readRecord(bytes, at);
    if (record === 'torn') break;
    if (record === 'damaged') return corrupt(`the journal is damaged at byte ${at}`);
    changes.push(record.stored);
    at += record.length;
  }
  return { kind: 'ok', value: { changes, goodLength: at } };
}

function readRecord(bytes: Buffer, at: number): { stored: StoredChange; length: number } | 'torn' | 'damaged' {
  const left = bytes.length - at;
  if (left < RECORD_HEADER) return 'torn';
  const wellFormed = bytes.readUInt32BE(at) === MAGIC && bytes.readUInt32BE(at + 8) === crc32(bytes.subarray(at, at + 8));
  // After a power cut a file may have its new length and zeros where the data should be.
  if (!wellFormed) return bytes.subarray(at).every((byte) => byte === 0) ? 'torn' : 'damaged';
  const payload = bytes.readUInt32BE(at + 4);
  if (payload < TIME || payload > LONGEST_RECORD) return 'damaged';
  const length = RECORD_HEADER + payload + CHECKSUM;
  if (left < length) return 'torn';
  const end = at + RECORD_HEADER + payload;
  if (!sha256(bytes.subarray(at, end)).equals(bytes.subarray(end, end + CHECKSUM))) return left === length ? 'torn' : 'damaged';
  const wire = fromBinary(ChangeSchema, bytes.subarray(at + RECORD_HEADER + TIME, end));
  return {
    length,
    stored: {
      time: Number(bytes.readBigUInt64BE(at + RECORD_HEADER)),
      change: {
        from: Number(wire.fromRevision),
        revision: Number(wire.revision),
        upserts: wire.upserts.map(fromWire),
        removals: wire.removals,
        digest: new Uint8Array(wire.digest),
      },
    },
  };
}

const line = (fields: Record<string, string | number>): Buffer => Buffer.from(`${JSON.stringify(fields)}\n`);

const heldFields = (held: Held) => ({
  epoch: held.epoch,
  revision: held.revision,
  digest: Buffer.from(held.digest).toString('hex'),
});

function readHeld(fields: Record<string, unknown>): Held | undefined {
  const { epoch, revision, digest } = fields;
  if (typeof epoch !== 'string' || !Number.isSafeInteger(revision) || typeof digest !== 'string') return undefined;
  return { epoch, revision: revision as number, digest: Uint8Array.from(Buffer.from(digest, 'hex')) };
}

function readLine(bytes: Buffer, format: string): Decoded<{ fields: Record<string, unknown>; length: number }> {
  const newline = bytes.subarray(0, 4096).indexOf(0x0a);
  if (newline < 0) return corrupt(`the file has no header of ${format}`);
  let fields: unknown;
  try {
    fields = JSON.parse(bytes.subarray(0, newline).toString('utf8'));
  } catch (error) {
    return corrupt(`the header of ${format} cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (typeof fields !== 'object' || fields === null || !('format' in fields) || fields.format !== format)
    return corrupt(`the file has no header of ${format}`);
  const version = 'version' in fields ? fields.version : undefined;
  if (version !== VERSION)
    return corrupt(`the file is of version ${String(version)}, this agent knows version ${VERSION}; a newer agent wrote it`);
  return { kind: 'ok', value: { fields: { ...fields }, length: newline + 1 } };
}
