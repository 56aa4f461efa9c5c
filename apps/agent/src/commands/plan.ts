import { join } from 'node:path';
import { AppError } from '@gwctl/shared/errors/app-error';
import { createLogger } from '@gwctl/shared/logging/logger';
import { Command } from 'commander';
import { systemClock } from '../clock.js';
import type { Format } from '../config/options.js';
import { ControlAddresses } from '../control-link/control-addresses.js';
import { DesiredStore } from '../desired/desired-store.js';
import { DiskFiles } from '../desired/files.js';
import type { DriverPreference } from '../drivers/choose.js';
import { openHost } from '../host.js';
import { IdentityStore } from '../identity/identity-store.js';
import { NAMES_FILE } from '../lookups.js';
import type { Resolution } from '../planner/types.js';
import { NO_POLICY, policyCheck } from '../policy/policy.js';
import { readPolicy } from '../policy/policy-file.js';
import { RememberedFile } from '../resolve/remembered.js';
import { requireReadable, stateDir } from '../state-dir/state-dir.js';
import { Conditions } from '../status/conditions.js';
import type { Output } from './output.js';
import { driverOption, formatOption, stateDirOption } from './shared-options.js';

interface PlanFlags {
  readonly stateDir: string;
  readonly driver: DriverPreference;
  readonly policy?: string;
  readonly output: Format;
}

export function planCommand(output: Output): Command {
  return new Command('plan')
    .description('what would be done to this host for the desired state on disk; does nothing')
    .addOption(stateDirOption())
    .addOption(driverOption())
    .option('--policy <file>', 'the policy that "run" is given')
    .addOption(formatOption())
    .addHelpText(
      'after',
      `
Examples:
  gwctl-agent plan
  gwctl-agent plan -o json`,
    )
    .action(async (flags: PlanFlags) => {
      const plan = await makePlan(flags);
      output.data(flags.output === 'json' ? JSON.stringify(plan, undefined, 2) : render(plan));
    });
}

interface PrintedPlan {
  readonly revision: number;
  readonly driver: string;
  readonly steps: readonly { readonly kind: string; readonly title: string }[];
  readonly refused: readonly { readonly name: string; readonly uid: string; readonly reasons: readonly string[] }[];
}

async function makePlan(flags: PlanFlags): Promise<PrintedPlan> {
  const dir = stateDir(flags.stateDir);
  await requireReadable(dir);
  const clock = systemClock;
  const log = createLogger({ name: 'gwctl-agent', level: 'silent' });
  const identity = await new IdentityStore({ stateDir: dir.path }).load();
  const conditions = new Conditions({ clock });
  const store = new DesiredStore({ files: new DiskFiles(dir.desired), gatewayUid: identity.gatewayUid, clock, conditions, log });
  await store.load();
  const view = store.view();
  if (!view.complete)
    throw new AppError({
      code: 'FAILED_PRECONDITION',
      reason: 'NOTHING_KNOWN',
      message:
        conditions.list()[0]?.message ??
        'no desired state is on the disk yet; start the agent and let it reach the control plane once',
    });
  const policy = flags.policy === undefined ? NO_POLICY : await readPolicy(flags.policy);
  const host = await openHost({ preference: flags.driver, stateDir: dir.path, log, ...clock });
  const addresses = new ControlAddresses({ servers: identity.servers, clock, log });
  await addresses.refresh();
  const facts = await host.facts({ control: addresses.current(), view });
  const planner = host.planner(() => undefined);
  const planned = planner.plan({
    entries: view.entries,
    facts,
    policy: policyCheck(policy),
    names: await rememberedNames(dir.path),
    health: { version: 0, of: () => undefined },
    now: clock.now(),
  });
  const { steps } = host.driver.diff(host.driver.render(planned.host), await host.driver.observe());
  return {
    revision: view.revision,
    driver: host.driver.name,
    steps: steps.map(({ kind, title }) => ({ kind, title })),
    refused: planned.judgements.flatMap(({ name, uid, verdict }) =>
      verdict.kind === 'reject' ? [{ name, uid, reasons: verdict.violations.map((v) => `${v.field}: ${v.description}`) }] : [],
    ),
  };
}

/** As an agent that starts now would know them, before any server was asked. */
async function rememberedNames(stateDirPath: string): Promise<ReadonlyMap<string, Resolution>> {
  const { names } = await new RememberedFile(join(stateDirPath, NAMES_FILE)).load();
  return new Map([...names].map(([name, { addresses, answered }]) => [name, { addresses, answered, fresh: true }]));
}

function render(plan: PrintedPlan): string {
  const steps =
    plan.steps.length === 0
      ? [`nothing: the host matches revision ${plan.revision} (${plan.driver})`]
      : [`for revision ${plan.revision} (${plan.driver}):`, ...plan.steps.map((s, i) => `  ${i + 1}. ${s.title}`)];
  const refused = plan.refused.flatMap((r) => [`refused: ${r.name || r.uid}`, ...r.reasons.map((reason) => `  ${reason}`)]);
  return [...steps, ...refused].join('\n');
}
