/** Requests to a relay, typed: what goes over a {@link RelayLink}. */
import type { EngineUse, ForwardCounts, RelayFlow } from './engine.js';
import type { RelayLink } from './link.js';
import {
  BATCH,
  type CarriedRow,
  readCarried,
  readCounts,
  readFlow,
  readSetFailure,
  readUpgraded,
  readUse,
  type SetFailure,
  type Upgraded,
} from './protocol.js';
import type { RelayedForward } from './types.js';
import { wireForward } from './wire-forward.js';

/** Characters of one request with forwards: a line is bounded, and one with long allow-lists is long. */
const BATCH_LENGTH = 4 * 1024 * 1024;
/** Milliseconds. A batch of listeners takes a few, a successor that has to open ten thousand some seconds. */
const SET_PATIENCE = 60_000;

export async function setForwards(link: RelayLink, forwards: readonly RelayedForward[]): Promise<readonly SetFailure[]> {
  const failures: SetFailure[] = [];
  for (const batch of batches(forwards)) {
    const { rows } = await link.ask(`"op":"set","forwards":[${batch.join(',')}]`, SET_PATIENCE);
    failures.push(...rows.map(readSetFailure));
  }
  return failures;
}

function* batches(forwards: readonly RelayedForward[]): Generator<readonly string[]> {
  let batch: string[] = [];
  let length = 0;
  for (const forward of forwards) {
    const { json, digest } = wireForward(forward);
    const text = `{"forward":${json},"digest":"${digest}"}`;
    if (batch.length > 0 && (batch.length === BATCH || length + text.length > BATCH_LENGTH)) {
      yield batch;
      batch = [];
      length = 0;
    }
    batch.push(text);
    length += text.length;
  }
  if (batch.length > 0) yield batch;
}

export async function removeForwards(link: RelayLink, uids: readonly string[]): Promise<void> {
  for (let from = 0; from < uids.length; from += BATCH)
    await link.ask(`"op":"remove","uids":${JSON.stringify(uids.slice(from, from + BATCH))}`, SET_PATIENCE);
}

/** Of all, or of these. */
export async function listCarried(link: RelayLink, uids?: readonly string[]): Promise<readonly CarriedRow[]> {
  const which = uids ? `,"uids":${JSON.stringify(uids)}` : '';
  return (await link.ask(`"op":"list"${which}`, SET_PATIENCE)).rows.map(readCarried);
}

export const countForwards = async (link: RelayLink): Promise<readonly ForwardCounts[]> =>
  (await link.ask('"op":"counts"')).rows.map(readCounts);

export async function listFlows(
  link: RelayLink,
  question: { readonly uid?: string; readonly most: number },
): Promise<readonly RelayFlow[]> {
  const which = question.uid === undefined ? '' : `,"uid":${JSON.stringify(question.uid)}`;
  return (await link.ask(`"op":"flows","most":${question.most}${which}`)).rows.map(readFlow);
}

export const useOf = async (link: RelayLink): Promise<EngineUse> => readUse((await link.ask('"op":"use"')).value);

/** Has the relay start this program as its successor and drain. */
export async function upgradeRelay(
  link: RelayLink,
  program: { readonly program: string; readonly args: readonly string[] },
): Promise<Upgraded> {
  const fields = `"op":"upgrade","program":${JSON.stringify(program.program)},"args":${JSON.stringify(program.args)}`;
  return readUpgraded((await link.ask(fields, SET_PATIENCE)).value);
}

/** Resolves once it has ended, whatever it carried. */
export async function stopRelay(link: RelayLink): Promise<void> {
  await link.ask('"op":"stop"');
  await link.untilClosed();
}
