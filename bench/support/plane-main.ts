/**
 * A control plane that does what a bench tells it, in the gateway's own namespace: one JSON command a line on standard input, one JSON
 * answer a line on standard output. Times are taken here, from just before a change is sent to the agent's word that it is applied, so
 * they hold both ways through the stream besides what the agent does.
 */
import { createInterface } from 'node:readline';
import { create, toBinary } from '@bufbuild/protobuf';
import type { Change, Entry, Held } from '../../apps/agent/dist/desired/types.js';
import { FakeControlPlane, type FakeSession } from '../../apps/agent/dist/testing/fake-control-plane.js';
import { EPOCH } from '../../apps/agent/dist/testing/forwards.js';
import { DesiredForwardSchema } from '../../packages/proto/dist/gen/gwctl/agent/v1/agent_pb.js';
import { OnChange, Protocol } from '../../packages/proto/dist/gen/gwctl/v1/types_pb.js';
import { EMPTY_DIGEST, xorInto } from '../../packages/shared/dist/domain/digest.js';
import { entryHash } from '../../packages/shared/dist/hash/entry-hash.js';
import { formatJoinString } from '../../packages/shared/dist/wire/join-string.js';

export type PlaneCommand =
  | { readonly op: 'load'; readonly forwards: number }
  /** Adds one, and takes it away again when it was applied. */
  | { readonly op: 'add' };

/** What each answers, all in milliseconds. */
export interface PlaneAnswer {
  /** Since the epoch: when the snapshot began to be sent. */
  readonly sent?: number;
  /** Until the last report of a placement was here. */
  readonly loaded?: number;
  readonly added?: number;
  readonly removed?: number;
  readonly state?: string;
}

const plane = await FakeControlPlane.start();
let held: Held = { epoch: EPOCH, revision: 0, digest: EMPTY_DIGEST };
let next = 0;
let session: FakeSession | undefined;

/** Forward number n: one of 100 addresses, one of 400 ports, one of 200 targets; a tenth have an allow-list. */
function forward(n: number): Entry {
  const uid = `${(n * 2654435761) % 2 ** 32}`.padStart(12, '0').slice(-12);
  const full = `00000000-0000-4000-8000-${uid}`;
  const port = 10_000 + Math.floor(n / 100) + 1;
  const wire = create(DesiredForwardSchema, {
    uid: full,
    generation: 1n,
    name: `f${n}`,
    listen: { address: `198.18.0.${(n % 100) + 1}`, protocol: Protocol.TCP, ports: { first: port, last: port } },
    targets: [{ host: `198.19.${n % 8}.${(n % 25) + 1}`, port: 8000 + (n % 100), weight: 1 }],
    allowSources: n % 10 === 0 ? ['192.0.2.0/24'] : [],
    onChange: OnChange.DRAIN,
    enabled: true,
  });
  return { uid: full, kind: 'forward', bytes: toBinary(DesiredForwardSchema, wire) };
}

async function applied(revision: number): Promise<void> {
  await session?.first('applied', (a) => a.epoch === EPOCH && a.revision >= BigInt(revision));
}

async function load(count: number): Promise<PlaneAnswer> {
  const entries = Array.from({ length: count }, () => forward(next++));
  const digest = entries.reduce((sum, e) => xorInto(sum, entryHash(e.uid, e.bytes)), EMPTY_DIGEST);
  held = { epoch: EPOCH, revision: held.revision + 1, digest };
  const sent = Date.now();
  const began = performance.now();
  session?.snapshot({ ...held, entries, allowMassRemoval: true }, 1000);
  await applied(held.revision);
  return { sent, loaded: performance.now() - began };
}

async function change(upserts: readonly Entry[], removals: readonly Entry[]): Promise<number> {
  const digest = [...upserts, ...removals].reduce((sum, e) => xorInto(sum, entryHash(e.uid, e.bytes)), held.digest);
  const one: Change = {
    from: held.revision,
    revision: held.revision + 1,
    upserts,
    removals: removals.map((r) => r.uid),
    digest,
  };
  held = { ...held, revision: one.revision, digest };
  const began = performance.now();
  session?.change(one);
  await applied(one.revision);
  return performance.now() - began;
}

async function answer(command: PlaneCommand): Promise<PlaneAnswer> {
  if (command.op === 'load') return load(command.forwards);
  const one = forward(next++);
  const added = await change([one], []);
  const report = session?.received
    .flatMap(({ message: m }) => (m.case === 'applied' || m.case === 'status' ? m.value.placements : []))
    .find((p) => p.forwardUid === one.uid);
  const removed = await change([], [one]);
  session?.received.splice(0);
  return { added, removed, state: String(report?.state) };
}

const { fingerprint } = plane.ca;
const join = formatJoinString({ servers: [plane.address], caFingerprint: fingerprint, gateway: 'gw1', token: plane.token });
process.stdout.write(`${JSON.stringify({ join })}\n`);
session = await plane.session(0);
await session.first('hello');
session.welcome();
process.stdout.write(`${JSON.stringify({ ready: true })}\n`);
for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await answer(JSON.parse(line) as PlaneCommand))}\n`);
}
