import { fromBinary } from '@bufbuild/protobuf';
import { DesiredEgressSchema, DesiredForwardSchema } from '@gwctl/proto/gwctl/agent/v1/agent_pb';
import { GatewaySettingsSchema } from '@gwctl/proto/gwctl/v1/types_pb';
import { parseEgressSpec } from '@gwctl/shared/domain/egress';
import { parseTrafficSpec } from '@gwctl/shared/domain/forward';
import { type GatewaySettings, parseGatewaySettings } from '@gwctl/shared/domain/gateway-settings';
import { parseName, parseUid } from '@gwctl/shared/domain/names';
import { quote, type Result, type Violation } from '@gwctl/shared/domain/result';
import { rawEgressSpec } from '@gwctl/shared/wire/egress-spec';
import { rawGatewaySettings } from '@gwctl/shared/wire/gateway-settings';
import { rawTrafficSpec } from '@gwctl/shared/wire/traffic-spec';
import type { ReadEntry } from '../planner/types.js';
import type { Entry } from './types.js';

/** Reads one entry that is no settings: something that can be planned, or everything that is wrong with it. Never throws. */
export function readEntry(entry: Entry): ReadEntry {
  const decoded = decode(entry);
  if (!decoded.ok) return invalid(entry.uid, 0, '', decoded.error);
  const { wire, spec } = decoded.value;
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
  if (!spec.result.ok) violations.push(...spec.result.error);
  if (violations.length > 0 || !spec.result.ok)
    return invalid(entry.uid, Number.isSafeInteger(generation) ? generation : 0, name.ok ? name.value : '', violations);
  const about = { uid: entry.uid, generation, name: wire.name };
  return spec.kind === 'forward'
    ? { kind: 'forward', uid: entry.uid, forward: { ...about, spec: spec.result.value } }
    : { kind: 'egress', uid: entry.uid, egress: { ...about, spec: spec.result.value } };
}

/** Reads settings. What cannot be read changes nothing. */
export function readSettings({ bytes }: Entry): Result<GatewaySettings, readonly Violation[]> {
  try {
    return parseGatewaySettings(rawGatewaySettings(fromBinary(GatewaySettingsSchema, bytes)), 'settings.');
  } catch (error) {
    return { ok: false, error: [undecodable('settings', error)] };
  }
}

function decode({ kind, bytes }: Entry) {
  try {
    if (kind === 'forward') {
      const wire = fromBinary(DesiredForwardSchema, bytes);
      return ok({ wire, spec: { kind: 'forward' as const, result: parseTrafficSpec(rawTrafficSpec(wire), 'spec.') } });
    }
    if (kind === 'egress') {
      const wire = fromBinary(DesiredEgressSchema, bytes);
      return ok({ wire, spec: { kind: 'egress' as const, result: parseEgressSpec(rawEgressSpec(wire), 'spec.') } });
    }
  } catch (error) {
    return { ok: false as const, error: [undecodable(kind, error)] };
  }
  const description = 'is of a kind that this agent does not know; the control plane is newer, so update the agent';
  return { ok: false as const, error: [{ field: 'entry', description }] };
}

const ok = <T>(value: T) => ({ ok: true as const, value });

const undecodable = (field: string, error: unknown): Violation => ({
  field,
  description: `cannot be decoded (${error instanceof Error ? error.message : String(error)}); the control plane and this agent may not fit together`,
});

function invalid(uid: string, generation: number, name: string, violations: readonly Violation[]): ReadEntry {
  return { kind: 'invalid', uid, generation, name, violations };
}
