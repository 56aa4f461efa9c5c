import { fromBinary } from '@bufbuild/protobuf';
import { DesiredForwardSchema, type DesiredForward as WireDesiredForward } from '@gwctl/proto/gwctl/agent/v1/agent_pb';
import { parseTrafficSpec } from '@gwctl/shared/domain/forward';
import { parseName, parseUid } from '@gwctl/shared/domain/names';
import { quote, type Violation } from '@gwctl/shared/domain/result';
import { rawTrafficSpec } from '@gwctl/shared/wire/traffic-spec';
import type { Entry, ReadEntry } from './types.js';

/** Reads one entry: a forward that can be planned, or everything that is wrong with it. Never throws. */
export function readEntry(entry: Entry): ReadEntry {
  let wire: WireDesiredForward;
  try {
    wire = fromBinary(DesiredForwardSchema, entry.forward);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return invalid(entry.uid, 0, '', [
      { field: 'forward', description: `cannot be decoded (${why}); the control plane and this agent may not fit together` },
    ]);
  }
  const violations: Violation[] = [];
  const uid = parseUid(entry.uid);
  if (!uid.ok) violations.push({ field: 'uid', description: uid.error });
  if (wire.uid !== entry.uid)
    violations.push({ field: 'uid', description: `is ${quote(wire.uid)} inside an entry for ${quote(entry.uid)}` });
  const generation = Number(wire.generation);
  if (!Number.isSafeInteger(generation))
    violations.push({ field: 'generation', description: `${wire.generation} is out of range` });
  const name = parseName(wire.name);
  if (!name.ok) violations.push({ field: 'name', description: name.error });
  const spec = parseTrafficSpec(rawTrafficSpec(wire), 'spec.');
  if (!spec.ok) violations.push(...spec.error);
  if (violations.length > 0 || !spec.ok)
    return invalid(entry.uid, Number.isSafeInteger(generation) ? generation : 0, name.ok ? name.value : '', violations);
  return { kind: 'forward', forward: { uid: entry.uid, generation, name: wire.name, spec: spec.value } };
}

function invalid(uid: string, generation: number, name: string, violations: readonly Violation[]): ReadEntry {
  return { kind: 'invalid', uid, generation, name, violations };
}
