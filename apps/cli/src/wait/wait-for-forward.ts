import type { ControlPlane } from '../context/control-plane.js';
import type { Context } from '../context.js';
import { CliError } from '../errors/cli-error.js';
import type { Kind } from '../errors/exit-codes.js';
import { formatDuration } from '../flags/duration.js';
import { stateOf } from '../output/forward-view.js';
import type { ForwardResource } from '../resources/forward.js';
import { type Judgement, judgeForward } from './forward-standing.js';
import { deadlineAfter, watchUntil } from './watch-until.js';
import { askWhyGatewayWaits, complaints } from './why-waiting.js';

/** Milliseconds of silence after which it is said what is being waited for. */
const NOTICE_MS = 2000;

/**
 * Waits until every gateway's agent says that it has this generation of the forward, or rejects it. `changed` is what the control
 * plane answered to the change: the watch is opened after it and begins with what is, so no update is missed.
 */
export async function waitForForward(
  context: Context,
  controlPlane: ControlPlane,
  changed: ForwardResource,
  ms: number,
): Promise<ForwardResource> {
  const { name, generation = 0 } = changed.metadata;
  const started = context.clock.now();
  let last = changed;
  const deadline = deadlineAfter(context, ms);
  let settled = false;
  const cancelNotice = context.clock.after(NOTICE_MS, () => {
    void whyWaiting(context, controlPlane, judgeForward(last, generation)).then((lines) => {
      if (!settled) for (const line of lines) context.talk(line);
    });
  });
  try {
    const judged = await watchUntil(
      context,
      deadline,
      (signal) => controlPlane.forwards.watch(name, signal),
      (seen) => {
        last = seen;
        const judgement = judgeForward(seen, generation);
        return judgement.outcome === 'waiting' ? undefined : judgement;
      },
    );
    if ((last.metadata.generation ?? 0) > generation) context.talk(`forward ${name} was changed again meanwhile`);
    if (judged?.outcome === 'done') {
      context.talk(confirmation(last, judged, context.clock.now() - started));
      return last;
    }
    throw judged ? refusal(last, judged) : await timeOut(context, controlPlane, last, generation, ms);
  } catch (error) {
    if (error instanceof CliError && error.kind === 'interrupted')
      throw new CliError({
        kind: 'interrupted',
        message: `stopped waiting; the change of forward ${name} is stored and goes on`,
        hint: `gwctl forward get ${name}`,
      });
    throw error;
  } finally {
    settled = true;
    cancelNotice();
    deadline.cancel();
  }
}

/** One line for each of the first few gateways. */
const whyWaiting = (context: Context, controlPlane: ControlPlane, { waiting }: Judgement): Promise<string[]> =>
  Promise.all(waiting.slice(0, 5).map(async (p) => `waiting: ${await askWhyGatewayWaits(context, controlPlane, p.gateway)}`));

function confirmation(forward: ForwardResource, { done }: Judgement, ms: number): string {
  const where = done.map((p) => (p.driver ? `${p.gateway} (${p.driver})` : p.gateway)).join(', ');
  return `forward ${forward.metadata.name} is ${forward.spec.enabled ? 'ACTIVE' : 'DISABLED'} on ${where} after ${formatDuration(ms)}`;
}

function refusal(forward: ForwardResource, judged: Judgement): CliError {
  const { name } = forward.metadata;
  if (judged.outcome === 'nowhere')
    return new CliError({
      kind: 'error',
      message: `forward ${name} is stored, but no gateway matches it, so nothing carries it`,
      hint: 'compare its selector with: gwctl gateway list',
    });
  const kind: Kind = judged.outcome === 'partly' ? 'partly' : 'error';
  return new CliError({
    kind,
    message:
      kind === 'partly'
        ? `forward ${name} is in place on ${judged.done.map((p) => p.gateway).join(', ')}, but not everywhere`
        : `forward ${name} is stored, but not in place`,
    details: judged.refused.flatMap((p) => [`${p.gateway}: ${p.state}`, ...complaints(p).map((c) => `  ${c}`)]),
    hint: `mend it with gwctl forward set ${name} ..., or take it back with gwctl forward delete ${name}`,
  });
}

async function timeOut(
  context: Context,
  controlPlane: ControlPlane,
  forward: ForwardResource,
  generation: number,
  ms: number,
): Promise<CliError> {
  const { name } = forward.metadata;
  const { waiting, refused } = judgeForward(forward, generation);
  const details: string[] = [];
  for (const p of waiting) {
    details.push(`${p.gateway}: ${stateOf(p, generation)}; ${await askWhyGatewayWaits(context, controlPlane, p.gateway)}`);
    if (p.state === 'DEGRADED') details.push(...complaints(p).map((c) => `  ${c}`));
  }
  for (const p of refused) details.push(`${p.gateway}: ${p.state}`, ...complaints(p).map((c) => `  ${c}`));
  return new CliError({
    kind: 'timed-out',
    message: `forward ${name} is stored, but was not confirmed by every agent within ${formatDuration(ms)}`,
    details,
    hint: `it is applied as soon as it can be; look with gwctl forward get ${name}`,
  });
}
