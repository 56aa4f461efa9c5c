import type { ControlPlane, EntryKind, GatewayRevision } from '../context/control-plane.js';
import type { Context } from '../context.js';
import { CliError } from '../errors/cli-error.js';
import { formatDuration } from '../flags/duration.js';
import { deadlineAfter, watchUntil } from './watch-until.js';
import { askWhyGatewayWaits } from './why-waiting.js';

/** Waits until every gateway's agent has applied the revision at which the forward or egress is gone. */
export async function waitForRemoval(
  context: Context,
  controlPlane: ControlPlane,
  { kind, name }: { readonly kind: EntryKind; readonly name: string },
  revisions: readonly GatewayRevision[],
  ms: number,
): Promise<void> {
  const started = context.clock.now();
  const deadline = deadlineAfter(context, ms);
  try {
    const gone = await Promise.all(
      revisions.map(async ({ gateway, revision }) => ({
        gateway,
        done: await watchUntil(
          context,
          deadline,
          (signal) => controlPlane.gateways.watch(gateway, signal),
          (seen) => (seen.status.appliedRevision >= revision ? true : undefined),
        ),
      })),
    );
    const left = gone.filter((g) => !g.done);
    if (left.length > 0) {
      const details: string[] = [];
      for (const { gateway } of left) details.push(await askWhyGatewayWaits(context, controlPlane, gateway));
      throw new CliError({
        kind: 'timed-out',
        message: `${kind} ${name} is deleted, but ${left.map((g) => g.gateway).join(', ')} did not confirm within ${formatDuration(ms)} that it is gone`,
        details,
        hint: 'its rules are removed as soon as the gateway can; look with gwctl gateway list',
      });
    }
    context.talk(
      `${kind} ${name} is gone from ${revisions.map((r) => r.gateway).join(', ')} after ${formatDuration(context.clock.now() - started)}`,
    );
  } finally {
    deadline.cancel();
  }
}
