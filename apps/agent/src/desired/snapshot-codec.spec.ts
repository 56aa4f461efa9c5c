import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { SnapshotPartSchema } from '@gwctl/proto/gwctl/agent/v1/agent_pb';
import { describe, expect, it } from 'vitest';
import { encodeEntries } from './snapshot-codec.js';
import type { Entry } from './types.js';
import { fromWire, toWire } from './wire-entry.js';

const bytes = (length: number) => Uint8Array.from({ length }, (_, i) => (i * 7 + length) % 256);
const text = ({ uid: of, kind, bytes: all }: Entry) => `${of} ${kind} ${Buffer.from(all).toString('hex')}`;
const uid = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;
/** Lengths around those that need another byte for the length, and one beyond a piece. */
const SIZES = [1, 2, 86, 87, 88, 126, 127, 128, 16_340, 16_383, 16_384, 300_000];

describe('encodeEntries', () => {
  it('writes what the generated code writes, whatever the kinds and lengths', () => {
    const entries: Entry[] = [
      ...SIZES.map((size, i): Entry => ({ uid: uid(i), kind: 'forward', bytes: bytes(size) })),
      { uid: uid(20), kind: 'egress', bytes: bytes(40) },
      { uid: uid(21), kind: 'settings', bytes: bytes(9) },
      { uid: 'not a uid: ü', kind: 'forward', bytes: bytes(3) },
      { uid: uid(22), kind: 'unknown', bytes: bytes(0) },
    ];
    const written = Buffer.concat(encodeEntries(entries));
    const generated = toBinary(SnapshotPartSchema, create(SnapshotPartSchema, { entries: entries.map(toWire) }));
    expect(written.equals(generated)).toBe(true);
    const read = fromBinary(SnapshotPartSchema, written).entries.map(fromWire);
    expect(read.map(text)).toEqual(entries.map(text));
  });

  it('writes nothing for nothing', () => {
    expect(Buffer.concat(encodeEntries([]))).toHaveLength(0);
  });
});
