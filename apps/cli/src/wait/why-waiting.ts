import type { ControlPlane } from '../context/control-plane.js';
import type { Context } from '../context.js';
import { flagOfField } from '../errors/cli-error.js';
import { timeWithDistance } from '../output/description.js';
import type { GatewayResource } from '../resources/gateway.js';
import type { PlacementResource } from '../resources/placement.js';

/** Why a gateway has not done something yet, as one sentence; undefined where nothing is wrong with it. */
export function whyGatewayWaits(gateway: GatewayResource, now: number): string | undefined {
  const { name } = gateway.metadata;
  const { status } = gateway;
  if (!status.enrolled)
    return `no agent has joined gateway ${name} yet (gwctl gateway token ${name} prints what gwctl-agent join needs)`;
  if (!status.connected)
    return `gateway ${name} has been offline since ${timeWithDistance(status.lastSeenTime, now) ?? 'its control plane started'}`;
  if (gateway.spec.cordoned) return `gateway ${name} is cordoned and takes no changes until gwctl gateway uncordon ${name}`;
  return undefined;
}

/** The same, asked of the control plane now. */
export async function askWhyGatewayWaits(context: Context, controlPlane: ControlPlane, name: string): Promise<string> {
  try {
    const gateway = await controlPlane.gateways.get(name);
    const { appliedRevision, revision } = gateway.status;
    return (
      whyGatewayWaits(gateway, context.clock.now()) ??
      `gateway ${name} is online; its agent has applied revision ${appliedRevision} of ${revision}`
    );
  } catch (error) {
    // The wait's own outcome must not be replaced by that of this question.
    return `gateway ${name} could not be asked: ${error instanceof Error ? error.message : String(error)}`;
  }
}

/** What the agent holds against a placement: violations, with the flags that mend them, else the conditions that are not true. */
export function complaints(placement: PlacementResource): string[] {
  if (placement.violations.length > 0) return placement.violations.map((v) => `${flagOfField(v.field)}: ${v.description}`);
  return placement.conditions.filter((c) => c.status !== 'true').map((c) => `${c.type} (${c.reason}): ${c.message}`);
}
