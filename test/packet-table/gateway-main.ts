/**
 * Runs in the gateway's network namespace: planner and driver of the agent, without control plane and reconciler. The only place of
 * the tests that imports built code of an app instead of starting its program: the table is about the driver alone.
 */
import { createInterface } from 'node:readline';
import { parseEgressSpec } from '@gwctl/shared/domain/egress';
import { parseTrafficSpec } from '@gwctl/shared/domain/forward';
import { DEFAULT_SETTINGS } from '@gwctl/shared/domain/gateway-settings';
import { type IpAddress, parseIp } from '@gwctl/shared/domain/ip';
import type { Result, Violation } from '@gwctl/shared/domain/result';
import { createLogger } from '@gwctl/shared/logging/logger';
import { systemClock } from '../../apps/agent/dist/clock.js';
import { type Host, openHost } from '../../apps/agent/dist/host.js';
import type { HealthView } from '../../apps/agent/dist/planner/planner.js';
import type { Planned, ReadEntry, Resolution } from '../../apps/agent/dist/planner/types.js';
import { forwardKey } from '../../apps/agent/dist/system/forward-key.js';
import type {
  Counted,
  GatewayCommand,
  Looked,
  Reconciled,
  Seen,
  Started,
  Wanted,
  WantedEgress,
  WantedForward,
} from './gateway-protocol.js';

const seen: string[] = [];

/** A driver and all that is known since it was started. */
interface AtWork {
  readonly host: Host;
  readonly planner: ReturnType<Host['planner']>;
  /** The same object for as long as nothing of it changed, as the planner wants them: by uid, with the text it was read from. */
  readonly entries: Map<string, { readonly text: string; readonly entry: ReadEntry }>;
  applied?: { readonly rendered: unknown; readonly names: ReadonlyMap<string, string> };
}

let atWork: AtWork | undefined;
let healthVersion = 0;

function working(): AtWork {
  if (!atWork) throw new Error('start a driver first');
  return atWork;
}

function mustParse<T>(parsed: Result<T, readonly Violation[]>): T {
  if (!parsed.ok) throw new Error(parsed.error.map((v) => `${v.field}: ${v.description}`).join('; '));
  return parsed.value;
}

function entryOf(wanted: { forward: WantedForward } | { egress: WantedEgress }, known: AtWork['entries']): ReadEntry {
  const text = JSON.stringify(wanted);
  const { uid, name } = 'forward' in wanted ? wanted.forward : wanted.egress;
  const old = known.get(uid);
  if (old?.text === text) return old.entry;
  const about = { uid, name, generation: 1 };
  const entry: ReadEntry =
    'forward' in wanted
      ? { kind: 'forward', uid, forward: { ...about, spec: mustParse(parseTrafficSpec(wanted.forward.spec)) } }
      : { kind: 'egress', uid, egress: { ...about, spec: mustParse(parseEgressSpec(wanted.egress.spec)) } };
  known.set(uid, { text, entry });
  return entry;
}

function address(text: string): IpAddress {
  const parsed = parseIp(text);
  if (!parsed.ok) throw new Error(parsed.error);
  return parsed.value;
}

const resolutions = (names: Wanted['names']): ReadonlyMap<string, Resolution> =>
  new Map(Object.entries(names).map(([name, all]) => [name, { addresses: all.map(address), fresh: true, answered: 0 }]));

function healthOf(unhealthy: readonly string[]): HealthView {
  const down = new Set(unhealthy);
  const shown = (ip: IpAddress, port: number) => (ip.family === 6 ? `[${ip.text}]:${port}` : `${ip.text}:${port}`);
  return { version: ++healthVersion, of: (ip, port) => ({ state: down.has(shown(ip, port)) ? 'unhealthy' : 'healthy' }) };
}

async function planned(wanted: Wanted, { host, planner, entries: known }: AtWork): Promise<Planned> {
  const entries = [
    ...wanted.forwards.map((forward) => entryOf({ forward }, known)),
    ...wanted.egresses.map((egress) => entryOf({ egress }, known)),
  ].sort((a, b) => (a.uid < b.uid ? -1 : 1));
  const view = { complete: true, epoch: '', revision: 1, entries, settings: DEFAULT_SETTINGS };
  return planner.plan({
    entries,
    facts: await host.facts({ control: [], view }),
    policy: {
      forward: () => [],
      egress: () => [],
      permits: () => true,
      permitsLocal: () => false,
      maxForwards: Number.POSITIVE_INFINITY,
    },
    names: resolutions(wanted.names),
    health: healthOf(wanted.unhealthy),
    now: Date.now(),
  });
}

async function want(wanted: Wanted, fresh: boolean): Promise<Reconciled> {
  const at = working();
  const { driver } = at.host;
  const began = performance.now();
  const plan = await planned(wanted, at);
  const rendered = driver.render(plan.host, at.applied?.rendered);
  const mirror = fresh ? undefined : driver.mirror();
  const steps = driver.diff(rendered, mirror ?? (await driver.observe()));
  await driver.apply(steps);
  const ms = performance.now() - began;
  at.applied = { rendered, names: new Map([...wanted.forwards, ...wanted.egresses].map((f) => [f.uid, f.name])) };
  const verdicts = plan.judgements.map(({ name, verdict }) => [name, verdict.kind === 'reject' ? verdict.reason : verdict.kind]);
  const observed = driver.mirror() ?? (await driver.observe());
  const conditions = driver.conditions(observed);
  const findings = driver.findings?.(rendered, observed) ?? [];
  return {
    verdicts: Object.fromEntries(verdicts),
    steps: steps.steps.map((s) => s.title),
    ms,
    conditions: Object.fromEntries(conditions.map((c) => [c.type, c.reason])),
    told: Object.fromEntries(conditions.map((c) => [c.type, c.message])),
    findings: Object.fromEntries(findings.map((f) => [at.applied?.names.get(f.uid) ?? f.uid, f.condition.message])),
  };
}

async function look(): Promise<Looked> {
  const { host, applied } = working();
  const found = applied ? host.driver.drift(applied.rendered, await host.driver.observe()) : [];
  return {
    drift: found.map(({ forwards, drift: { cause, object, message } }) => ({
      cause,
      object,
      message,
      forwards: forwards.map((uid) => applied?.names.get(uid) ?? uid),
    })),
  };
}

async function count(): Promise<Counted> {
  const { host, applied } = working();
  if (!host.driver.counters) throw new Error('the driver counts nothing');
  const counters = await host.driver.counters();
  const byName = [...(applied?.names ?? [])].map(([uid, name]) => [name, counters.get(forwardKey(uid))] as const);
  return { counters: Object.fromEntries(byName.flatMap(([name, c]) => (c ? [[name, { ...c }]] : []))) };
}

async function carryOut(command: GatewayCommand): Promise<Started | Reconciled | Looked | Counted | Seen | undefined> {
  switch (command.op) {
    case 'start': {
      const log = createLogger({ name: 'gateway', level: 'warn' });
      const { driver: preference, stateDir, relayEngine } = command;
      const host = await openHost({ preference, stateDir, log, relayEngine, ...systemClock });
      atWork = { host, planner: host.planner(() => undefined), entries: new Map() };
      return { driver: host.driver.name, capabilities: host.capabilities };
    }
    case 'want':
      return want(command, command.fresh);
    case 'look':
      return look();
    case 'count':
      return count();
    case 'cleanUp':
      await working().host.driver.cleanUp();
      return undefined;
    case 'cleanLeftovers':
      await atWork?.host.cleanLeftovers();
      return undefined;
    case 'watch': {
      const { driver } = working().host;
      if (!driver.watch) throw new Error('the driver has no events');
      driver.watch(({ process }) => seen.push(process ?? 'unknown'));
      return undefined;
    }
    case 'seen':
      return { processes: seen.splice(0) };
  }
}

let queue: Promise<void> = Promise.resolve();
createInterface({ input: process.stdin })
  .on('line', (line) => {
    const request = JSON.parse(line) as GatewayCommand & { id: number };
    const answer = async () => {
      try {
        return { id: request.id, result: await carryOut(request) };
      } catch (error) {
        return { id: request.id, error: String(error), reason: (error as { reason?: string }).reason };
      }
    };
    queue = queue.then(async () => {
      process.stdout.write(`${JSON.stringify(await answer())}\n`);
    });
  })
  .on('close', () => process.exit(0));
process.stdout.write('{"id":0}\n');
