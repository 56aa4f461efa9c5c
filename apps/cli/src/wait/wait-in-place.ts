import type { Collection, ControlPlane } from '../context/control-plane.js';
import type { Context } from '../context.js';
import { CliError } from '../errors/cli-error.js';
import type { Kind } from '../errors/exit-codes.js';
import { formatDuration } from '../flags/duration.js';
import { stateOf } from '../output/placement-view.js';
import type { Carried } from '../resources/placement.js';
import { type Judgement, judge } from './standing.js';
import { deadlineAfter, watchUntil } from './watch-until.js';
import { askWhyGatewayWaits, complaints } from './why-waiting.js';

/** What is waited for: its kind is a word of the resource, `Forward` or `Egress`. */
type Awaited = Carried & { readonly kind: string };

/** `forward web`. */
const named = ({ kind, metadata }: Awaited): string => `${kind.toLowerCase()} ${metadata.name}`;

/** Milliseconds of silence after which it is said what is being waited for. */
const NOTICE_MS = 2000;

/**
 * Waits until every gateway's agent says that it has this generation of the forward or egress, or rejects it. `changed` is what the control
 * plane answered to the change: the watch is opened after it and begins with what is, so no update is missed.
 */
export async function waitInPlace<R extends Awaited>(
  context: Context,
  controlPlane: ControlPlane,
  collection: Pick<Collection<R, never, never, never>, 'watch'>,
  changed: R,
  ms: number,
): Promise<R> {
  const { name, generation = 0 } = changed.metadata;
  const started = context.clock.now();
  let last = changed;
  const deadline = deadlineAfter(context, ms);
  let settled = false;
  const cancelNotice = context.clock.after(NOTICE_MS, () => {
    void whyWaiting(context, controlPlane, judge(last, generation)).then((lines) => {
      if (!settled) for (const line of lines) context.talk(line);
    });
  });
  try {
    const judged = await watchUntil(
      context,
      deadline,
      (signal) => collection.watch(name, signal),
      (seen) => {
        last = seen;
        const judgement = judge(seen, generation);
        return judgement.outcome === 'waiting' ? undefined : judgement;
      },
    );
    if ((last.metadata.generation ?? 0) > generation) context.talk(`${named(last)} was changed again meanwhile`);
    if (judged?.outcome === 'done') {
      context.talk(confirmation(last, judged, context.clock.now() - started));
      return last;
    }
    throw judged ? refusal(last, judged) : await timeOut(context, controlPlane, last, generation, ms);
  } catch (error) {
    if (error instanceof CliError && error.kind === 'interrupted')
      throw new CliError({
        kind: 'interrupted',
        message: `stopped waiting; the change of ${named(changed)} is stored and goes on`,
        hint: `gwctl ${changed.kind.toLowerCase()} get ${name}`,
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

function confirmation(entry: Awaited, { done }: Judgement, ms: number): string {
  const where = done.map((p) => (p.driver ? `${p.gateway} (${p.driver})` : p.gateway)).join(', ');
  return `${named(entry)} is ${entry.spec.enabled ? 'ACTIVE' : 'DISABLED'} on ${where} after ${formatDuration(ms)}`;
}

function refusal(entry: Awaited, judged: Judgement): CliError {
  const [kindWord, { name }] = [entry.kind.toLowerCase(), entry.metadata];
  if (judged.outcome === 'nowhere')
    return new CliError({
      kind: 'error',
      message: `${named(entry)} is stored, but no gateway matches it, so nothing carries it`,
      hint: 'compare its selector with: gwctl gateway list',
    });
  const kind: Kind = judged.outcome === 'partly' ? 'partly' : 'error';
  return new CliError({
    kind,
    message:
      kind === 'partly'
        ? `${named(entry)} is in place on ${judged.done.map((p) => p.gateway).join(', ')}, but not everywhere`
        : `${named(entry)} is stored, but not in place`,
    details: judged.refused.flatMap((p) => [`${p.gateway}: ${p.state}`, ...complaints(p).map((c) => `  ${c}`)]),
    hint: `mend it with gwctl ${kindWord} set ${name} ..., or take it back with gwctl ${kindWord} delete ${name}`,
  });
}

async function timeOut(
  context: Context,
  controlPlane: ControlPlane,
  entry: Awaited,
  generation: number,
  ms: number,
): Promise<CliError> {
  const { waiting, refused } = judge(entry, generation);
  const details: string[] = [];
  for (const p of waiting) {
    details.push(`${p.gateway}: ${stateOf(p, generation)}; ${await askWhyGatewayWaits(context, controlPlane, p.gateway)}`);
    if (p.state === 'DEGRADED') details.push(...complaints(p).map((c) => `  ${c}`));
  }
  for (const p of refused) details.push(`${p.gateway}: ${p.state}`, ...complaints(p).map((c) => `  ${c}`));
  return new CliError({
    kind: 'timed-out',
    message: `${named(entry)} is stored, but was not confirmed by every agent within ${formatDuration(ms)}`,
    details,
    hint: `it is applied as soon as it can be; look with gwctl ${entry.kind.toLowerCase()} get ${entry.metadata.name}`,
  });
}
