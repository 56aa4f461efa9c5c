/** What flows through the relays of one state directory: asked of each, and put together with the names that the agent knows. */
import { stat } from 'node:fs/promises';
import { AppError } from '@gwctl/shared/errors/app-error';
import { createLogger } from '@gwctl/shared/logging/logger';
import type { Clock } from '../clock.js';
import { countForwards, listFlows } from '../relay/client.js';
import { drainingPids } from '../relay/draining.js';
import type { ForwardCounts, RelayFlow } from '../relay/engine.js';
import { RelayLink } from '../relay/link.js';
import type { Hello } from '../relay/protocol.js';
import type { RelayPaths } from '../relay/relay-paths.js';
import { errorCode } from '../state-dir/atomic-file.js';
import type { StatusForward } from '../status/report.js';
import { readStatus } from '../status/status-client.js';

/** Shows what the kernel carries: every flow with its destination translated. */
export const KERNEL_FLOWS = 'conntrack -L --dst-nat';

/** Milliseconds that a relay may take to say what it is: somebody waits. */
const ANSWERS = 5_000;

export interface FlowsQuestion {
  readonly paths: RelayPaths;
  /** The agent's status socket, for names of forwards. */
  readonly agent: string;
  /** Who asks. */
  readonly uid: number;
  readonly clock: Clock;
  /** Name or uid; default: all. */
  readonly forward?: string;
  readonly most: number;
  /** What could not be found out although the rest could. */
  readonly talk: (line: string) => void;
}

/** One JSON document of `gwctl-agent flows -o json`. */
export interface FlowsReport {
  /** Those that were asked, the one that listens first. */
  readonly relays: readonly { readonly pid: number; readonly engine: string; readonly draining: boolean }[];
  readonly flows: readonly ShownFlow[];
  /** There are more flows than were asked for. */
  readonly more: boolean;
  readonly forwards: readonly ShownForward[];
}

/** Ages are milliseconds, addresses `ADDRESS:PORT`. */
export interface ShownFlow extends Omit<RelayFlow, 'age' | 'idle'> {
  /** Where an agent answers and has it. */
  readonly name?: string;
  /** Process id of the relay that has it. */
  readonly relay: number;
  readonly ageMs: number;
  readonly idleMs: number;
}

/** Of all relays that were asked, since each of them carries it. */
export interface ShownForward extends Pick<ForwardCounts, 'uid' | 'open' | 'flows' | 'refused' | 'limited' | 'failed'> {
  readonly name?: string;
}

/** What one relay said. */
interface Told {
  readonly hello: Hello;
  readonly flows: readonly RelayFlow[];
  readonly counts: readonly ForwardCounts[];
}

/**
 * Throws RELAY_NOT_RUNNING, RELAY_DENIED where the asking user may not, FORWARD_UNKNOWN, NOT_RELAYED for a forward that no relay has
 * anything of, and what the relay that listens answered instead of an answer.
 */
export async function flowsReport(question: FlowsQuestion): Promise<FlowsReport> {
  const links = await openRelays(question);
  try {
    if (links.length === 0) throw notRunning(question.paths.socket);
    const known = await knownForwards(question);
    const found = question.forward === undefined ? undefined : known.find(isCalled(question.forward));
    const uid = found?.uid ?? question.forward;
    const told = await askEach(links, { uid, most: question.most + 1, talk: question.talk });
    const report = putTogether(told, { uid, most: question.most, known });
    if (uid !== undefined && report.forwards.length === 0 && report.flows.length === 0)
      throw found ? notRelayed(found) : unknown(uid);
    return report;
  } finally {
    for (const link of links) link.close();
  }
}

/** The one that listens, and those that only go on with what they have. */
async function openRelays({ paths, uid, clock, talk }: FlowsQuestion): Promise<readonly RelayLink[]> {
  const log = createLogger({ name: 'gwctl-agent', level: 'silent' });
  const links = new Map<string, RelayLink>();
  try {
    // The listening one first: where it is replaced meanwhile it is met again under its other name, and counted once.
    for (const socket of [paths.socket, ...(await draining(paths)).map((pid) => paths.draining(pid))]) {
      if (!(await mayAsk(socket, uid))) throw denied(socket);
      const link = await RelayLink.open({ socket, clock, log, patience: ANSWERS }).catch((error: unknown) => {
        if (socket === paths.socket) throw error;
        talk(`what flows through the relay at ${socket} is not shown: ${AppError.from(error).message}`);
        return undefined;
      });
      if (!link) continue;
      const { pid, started } = link.hello;
      const key = `${pid} ${started}`;
      if (links.has(key)) link.close();
      else links.set(key, link);
    }
    return [...links.values()];
  } catch (error) {
    for (const link of links.values()) link.close();
    throw error;
  }
}

async function draining({ directory }: RelayPaths): Promise<readonly number[]> {
  try {
    return await drainingPids(directory);
  } catch (error) {
    throw errorCode(error) === 'EACCES' ? denied(directory) : error;
  }
}

/**
 * A relay lets in root and its own user, to whom its socket belongs, and hangs up on all others without a word: to them it would look as if
 * none ran. True where there is no socket.
 */
async function mayAsk(socket: string, uid: number): Promise<boolean> {
  try {
    return uid === 0 || uid === (await stat(socket)).uid;
  } catch (error) {
    const code = errorCode(error);
    if (code === 'ENOENT') return true;
    if (code === 'EACCES') return false;
    throw error;
  }
}

async function knownForwards({ agent, talk }: FlowsQuestion): Promise<readonly StatusForward[]> {
  try {
    return (await readStatus(agent)).forwards.filter((f) => f.egress === undefined);
  } catch (error) {
    talk(`forwards have their uid instead of their name: ${AppError.from(error).message}`);
    return [];
  }
}

const isCalled = (word: string) => (f: StatusForward) => f.name === word || f.uid === word;

/** One that drains may end while it is asked, or be of an older version; that keeps nobody from seeing the rest. */
async function askEach(
  links: readonly RelayLink[],
  question: { readonly uid: string | undefined; readonly most: number; readonly talk: (line: string) => void },
): Promise<readonly Told[]> {
  const { uid, most, talk } = question;
  const told: Told[] = [];
  for (const link of links) {
    const { hello } = link;
    try {
      const flows = await listFlows(link, { most, ...(uid === undefined ? {} : { uid }) });
      told.push({ hello, flows, counts: await countForwards(link) });
    } catch (error) {
      if (!hello.draining) throw error;
      talk(`what the relay with pid ${hello.pid} still carries is not shown: ${AppError.from(error).message}`);
    }
  }
  return told;
}

function putTogether(
  told: readonly Told[],
  about: { readonly uid: string | undefined; readonly most: number; readonly known: readonly StatusForward[] },
): FlowsReport {
  const names = new Map(about.known.map((f) => [f.uid, f.name]));
  const named = (uid: string) => {
    const name = names.get(uid);
    return name ? { name } : {};
  };
  const all = told.flatMap(({ hello, flows }) =>
    flows.map(({ age, idle, ...flow }) => ({ ...named(flow.uid), ...flow, relay: hello.pid, ageMs: age, idleMs: idle })),
  );
  const counts = told.flatMap((t) => t.counts).filter((c) => about.uid === undefined || c.uid === about.uid);
  return {
    relays: told.map(({ hello: { pid, engine, draining } }) => ({ pid, engine, draining })),
    flows: all.slice(0, about.most).sort((a, b) => byName(a, b) || b.ageMs - a.ageMs),
    more: all.length > about.most,
    forwards: summed(counts)
      .map((c) => ({ ...named(c.uid), ...c }))
      .sort(byName),
  };
}

function summed(counts: readonly ForwardCounts[]): readonly ShownForward[] {
  const sums = new Map<string, ShownForward>();
  for (const { uid, open, flows, refused, limited, failed } of counts) {
    const sum = sums.get(uid) ?? { uid, open: 0, flows: 0, refused: 0, limited: 0, failed: 0 };
    sums.set(uid, {
      uid,
      open: sum.open + open,
      flows: sum.flows + flows,
      refused: sum.refused + refused,
      limited: sum.limited + limited,
      failed: sum.failed + failed,
    });
  }
  return [...sums.values()];
}

interface Named {
  readonly name?: string;
  readonly uid: string;
}

/** What a person is told that it is called. */
export const called = ({ name, uid }: Named): string => name ?? uid;

function byName(a: Named, b: Named): number {
  const [one, other] = [called(a), called(b)];
  return one < other ? -1 : one > other ? 1 : 0;
}

const notRunning = (socket: string) =>
  new AppError({
    code: 'UNAVAILABLE',
    reason: 'RELAY_NOT_RUNNING',
    message: `no relay runs here (nothing answers at ${socket}): no forward needs one, or name the agent's --state-dir; "gwctl-agent status" says which driver carries what, and "${KERNEL_FLOWS}" shows the kernel's flows`,
  });

const denied = (path: string) =>
  new AppError({
    code: 'PERMISSION_DENIED',
    reason: 'RELAY_DENIED',
    message: `you may not ask the relay at ${path}; run this as root, or as the user whose relay it is`,
  });

const unknown = (forward: string) =>
  new AppError({
    code: 'NOT_FOUND',
    reason: 'FORWARD_UNKNOWN',
    message: `neither the agent nor the relay knows a forward ${JSON.stringify(forward)}; "gwctl-agent status" lists the agent's, "gwctl-agent flows" the relay's`,
  });

const notRelayed = ({ name, uid, state, driver }: StatusForward) =>
  new AppError({
    code: 'FAILED_PRECONDITION',
    reason: 'NOT_RELAYED',
    message: `the relay has nothing of forward ${name || uid} (state ${state}${driver === undefined ? '' : `, driver ${driver}`}); "${KERNEL_FLOWS}" shows the flows of what the kernel carries`,
  });
