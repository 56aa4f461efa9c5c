/**
 * Runs in the gateway's network namespace: planner and driver of the agent, without control plane and reconciler. The only place of
 * the tests that imports built code of an app instead of starting its program: the table is about the driver alone.
 */
import { createInterface } from 'node:readline';
import { parseTrafficSpec } from '@gwctl/shared/domain/forward';
import { type ChosenDriver, chooseDriver } from '../../apps/agent/dist/drivers/choose.js';
import { planForwards, wantedPorts } from '../../apps/agent/dist/planner/plan.js';
import type { DesiredForward } from '../../apps/agent/dist/planner/types.js';
import { ProcessExec } from '../../apps/agent/dist/system/exec.js';
import { forwardKey } from '../../apps/agent/dist/system/forward-key.js';
import { HostFactsReader } from '../../apps/agent/dist/system/host-facts.js';
import { linkReader } from '../../apps/agent/dist/system/links.js';
import { ProcSocketOwners } from '../../apps/agent/dist/system/socket-owners.js';
import { socketReader } from '../../apps/agent/dist/system/socket-reader.js';
import type { GatewayCommand, Looked, Reconciled, Seen, Started, WantedForward } from './gateway-protocol.js';

const exec = new ProcessExec();
const links = linkReader(exec);
const facts = new HostFactsReader({ links, owners: new ProcSocketOwners(), sockets: socketReader() });
const seen: string[] = [];
let chosen: ChosenDriver | undefined;
let applied: { readonly rendered: unknown; readonly names: ReadonlyMap<string, string> } | undefined;

function driver(): ChosenDriver['driver'] {
  if (!chosen) throw new Error('start a driver first');
  return chosen.driver;
}

function parse({ uid, name, spec }: WantedForward): DesiredForward {
  const parsed = parseTrafficSpec(spec);
  if (!parsed.ok) throw new Error(parsed.error.map((v) => `${v.field}: ${v.description}`).join('; '));
  return { uid, name, generation: 1, spec: parsed.value };
}

async function want(wanted: readonly WantedForward[], fresh: boolean): Promise<Reconciled> {
  const began = performance.now();
  const desired = wanted.map(parse);
  const planned = planForwards({
    desired,
    facts: await facts.read({ control: [], ports: wantedPorts(desired) }),
    now: Date.now(),
    capabilities: driver().capabilities,
    keyOf: forwardKey,
  });
  const rendered = driver().render(planned.host);
  const mirror = fresh ? undefined : driver().mirror();
  const plan = driver().diff(rendered, mirror ?? (await driver().observe()));
  await driver().apply(plan);
  const ms = performance.now() - began;
  applied = { rendered, names: new Map(wanted.map((f) => [f.uid, f.name])) };
  const verdicts = desired.map((f) => {
    const verdict = planned.verdicts.get(f.uid);
    return [f.name, verdict?.kind === 'reject' ? verdict.reason : (verdict?.kind ?? 'none')];
  });
  const conditions = driver().conditions(driver().mirror() ?? (await driver().observe()));
  return {
    verdicts: Object.fromEntries(verdicts),
    steps: plan.steps.map((s) => s.title),
    ms,
    conditions: Object.fromEntries(conditions.map((c) => [c.type, c.reason])),
  };
}

async function carryOut(command: GatewayCommand): Promise<Started | Reconciled | Looked | Seen | undefined> {
  switch (command.op) {
    case 'start':
      chosen = await chooseDriver({ preference: command.driver, exec, links, stateDir: command.stateDir, now: Date.now });
      applied = undefined;
      return { driver: chosen.driver.name, capabilities: chosen.capabilities };
    case 'want':
      return want(command.forwards, command.fresh);
    case 'look': {
      const observed = await driver().observe();
      const found = applied ? driver().drift(applied.rendered, observed) : [];
      return {
        drift: found.map(({ forwards, drift: { cause, object, message } }) => ({
          cause,
          object,
          message,
          forwards: forwards.map((uid) => applied?.names.get(uid) ?? uid),
        })),
      };
    }
    case 'cleanUp':
      await driver().cleanUp();
      return undefined;
    case 'cleanLeftovers':
      await chosen?.cleanLeftovers();
      return undefined;
    case 'watch':
      if (!driver().watch) throw new Error('the driver has no events');
      driver().watch?.(({ process }) => seen.push(process ?? 'unknown'));
      return undefined;
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
