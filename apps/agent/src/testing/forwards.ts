import { create, toBinary } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { DesiredForwardSchema } from '@gwctl/proto/gwctl/agent/v1/agent_pb';
import { OnChange, Protocol } from '@gwctl/proto/gwctl/v1/types_pb';
import { EMPTY_DIGEST, xorInto } from '@gwctl/shared/domain/digest';
import { entryHash } from '@gwctl/shared/hash/entry-hash';
import type { Change, Entry, Snapshot } from '../desired/types.js';

export const EPOCH = 'epoch-1';

export const uidOf = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;

export interface EntryOptions {
  readonly generation?: number;
  /** Default: 1000 + n. */
  readonly port?: number;
  readonly enabled?: boolean;
  /** Milliseconds since the epoch. */
  readonly expires?: number;
}

/** The encoded forward number n: 192.0.2.1:1000+n/tcp to 198.51.100.1:80. */
export function entry(n: number, options: EntryOptions = {}): Entry {
  const port = options.port ?? 1000 + n;
  const forward = create(DesiredForwardSchema, {
    uid: uidOf(n),
    generation: BigInt(options.generation ?? 1),
    name: `f${n}`,
    listen: { address: '192.0.2.1', protocol: Protocol.TCP, ports: { first: port, last: port } },
    targets: [{ host: '198.51.100.1', port: 80, weight: 1 }],
    onChange: OnChange.DRAIN,
    enabled: options.enabled ?? true,
    ...(options.expires === undefined ? {} : { expires: timestampFromMs(options.expires) }),
  });
  return { uid: uidOf(n), kind: 'forward', bytes: toBinary(DesiredForwardSchema, forward) };
}

export const digestOf = (entries: Iterable<Entry>): Uint8Array =>
  [...entries].reduce<Uint8Array>((sum, e) => xorInto(sum, entryHash(e.uid, e.bytes)), EMPTY_DIGEST);

export const snapshotOf = (revision: number, entries: readonly Entry[], more: Partial<Snapshot> = {}): Snapshot => ({
  epoch: EPOCH,
  revision,
  digest: digestOf(entries),
  entries,
  allowMassRemoval: false,
  ...more,
});

/** What the control plane holds of one gateway, so that a spec can say what each change leads to. */
export class Origin {
  revision = 1;
  readonly entries = new Map<string, Entry>();

  snapshot(): Snapshot {
    return snapshotOf(this.revision, [...this.entries.values()]);
  }

  change(upserts: readonly Entry[], removals: readonly string[] = []): Change {
    for (const uid of removals) this.entries.delete(uid);
    for (const e of upserts) this.entries.set(e.uid, e);
    const from = this.revision++;
    return { from, revision: this.revision, upserts, removals, digest: digestOf(this.entries.values()) };
  }
}
