import { randomUUID } from 'node:crypto';
import { hostname, release } from 'node:os';
import type { Logger } from '@gwctl/shared/logging/logger';
import { VERSION } from '@gwctl/shared/version';
import { systemClock } from './clock.js';
import { ControlAddresses } from './control-link/control-addresses.js';
import { ControlLink } from './control-link/control-link.js';
import { Dialler } from './control-link/dialler.js';
import type { About } from './control-link/mapper.js';
import { type Found, Outbox } from './control-link/outbox.js';
import { connectGrpc } from './control-link/stream.js';
import { DesiredStore } from './desired/desired-store.js';
import { DiskFiles } from './desired/files.js';
import type { DriverPreference } from './drivers/choose.js';
import { type Host, openHost } from './host.js';
import { IdentityStore } from './identity/identity-store.js';
import { askControlPlane, Renewal } from './identity/renewal.js';
import { targetLookups } from './lookups.js';
import { NO_POLICY, type Policy, policyCheck } from './policy/policy.js';
import { readPolicy } from './policy/policy-file.js';
import { Reconciler } from './reconciler/reconciler.js';
import { SpareMemory } from './spare-memory.js';
import { claimHost } from './state-dir/only-agent.js';
import { GROUP, groupId, makeStateDir, type StateDir } from './state-dir/state-dir.js';
import { buildReport } from './status/build-report.js';
import { Conditions } from './status/conditions.js';
import { descriptorOf, StatusServer } from './status/status-server.js';
import { lockOrExplain } from './system/file-lock.js';
import { giveBackFreeMemory } from './system/free-memory.js';
import { peerCredentials } from './system/peer-credentials.js';

export interface AgentOptions {
  readonly stateDir: StateDir;
  /** Default: in the state directory. */
  readonly socket?: string;
  readonly preference: DriverPreference;
  readonly policyFile?: string;
  readonly log: Logger;
}

export interface RunningAgent {
  /** Reads the policy again; keeps the one it has where the file is not valid. */
  reload(): Promise<void>;
  /** Ends everything and leaves the rules of the host as they are. */
  stop(): Promise<void>;
}

/** Starts an agent. What stops it from starting is thrown; what goes wrong later is a condition. */
export async function startAgent(options: AgentOptions): Promise<RunningAgent> {
  const { stateDir, log } = options;
  const clock = systemClock;
  const runtime = { clock, random: Math.random, log };
  const gid = await groupId(GROUP);
  const identities = new IdentityStore({ stateDir: stateDir.path });
  const identity = await identities.load();
  const previous = await identities.loadPrevious();
  await makeStateDir(stateDir, gid);
  const lock = lockOrExplain(stateDir.lock, 'stop it first');
  const claim = await claimHost(log);
  const conditions = new Conditions({ clock });
  const policy = new LivePolicy(options.policyFile, conditions, log);
  await policy.load();
  const files = new DiskFiles(stateDir.desired);
  const store = new DesiredStore({ files, gatewayUid: identity.gatewayUid, clock, conditions, log });
  await store.load();
  const host = await openHost({ preference: options.preference, stateDir: stateDir.path, log, ...clock });
  const about: About = {
    gatewayUid: identity.gatewayUid,
    agentVersion: VERSION,
    hostname: hostname(),
    kernel: release(),
    driver: host.driver.name,
    capabilities: host.capabilities,
    instanceId: randomUUID(),
  };
  const addresses = new ControlAddresses({ servers: identity.servers, clock, log });
  // Typed as always there, and not: only with --expose-gc.
  const collect = globalThis.gc as ConstructorParameters<typeof SpareMemory>[0]['collect'];
  const spare = new SpareMemory({ clock, collect, giveBack: giveBackFreeMemory, resident: () => process.memoryUsage.rss() });
  const outbox = new Outbox({ clock, random: Math.random, conditions, persisted: () => store.persisted() });
  const leftovers = onceApplied(host, log);
  const lookups = await targetLookups({ clock, log, stateDir: stateDir.path });
  const reconciler = new Reconciler({
    driver: host.driver,
    planner: {
      facts: () => host.facts({ control: addresses.current(), view: store.view() }),
      make: (carried) => host.planner(carried),
      policy: () => policy.check,
    },
    lookups,
    desired: store,
    sink: {
      report: (found) => {
        outbox.report(found);
        spare.changed(found.changed?.size ?? 0);
        leftovers(found);
      },
      event: (event) => outbox.event(event),
      conditions,
    },
    runtime,
  });
  const dialler = new Dialler({ store: identities, identity, previous, connect: connectGrpc });
  const link = new ControlLink({
    dialler,
    store,
    outbox,
    host: { about: () => about, applied: () => reconciler.status().applied },
    runtime,
  });
  const renewal = new Renewal({
    store: identities,
    ask: askControlPlane,
    runtime,
    conditions,
    onRenewed: (renewed) => {
      dialler.use(renewed);
      link.restart();
    },
  });
  const started = clock.now();
  const status = new StatusServer({
    socket: options.socket ?? stateDir.socket,
    ownDirectory: options.socket === undefined,
    gid,
    report: () => buildReport({ started, about, identity: () => dialler, link, store, reconciler, conditions }),
    credentials: (socket) => peerCredentials(descriptorOf(socket)),
    log,
  });
  await status.start();
  store.onChange(() => outbox.poke());
  void addresses.start();
  lookups.start();
  reconciler.start();
  renewal.start(identity);
  const ending = new AbortController();
  const linked = link.run(ending.signal);
  log.info({ gateway: identity.gateway, driver: about.driver, version: VERSION }, 'agent started');
  return {
    async reload() {
      if (await policy.reload()) reconciler.request('fast');
    },
    async stop() {
      ending.abort();
      renewal.stop();
      addresses.stop();
      lookups.stop();
      spare.stop();
      await Promise.all([linked, reconciler.stop(), status.stop()]);
      await store.close();
      claim.release();
      lock.release();
      log.info('agent stopped; the rules of the host stay as they are');
    },
  };
}

/** What an agent with the other variant of a driver left goes once this one is in place: flows never miss their rules. */
function onceApplied(host: Host, log: Logger): (found: Found) => void {
  let done = false;
  return ({ applied }) => {
    if (done || !applied) return;
    done = true;
    host.cleanLeftovers().catch((error: unknown) => {
      done = false;
      log.warn({ err: error }, 'what an earlier agent left could not be removed; it is tried again after the next change');
    });
  };
}

/** The policy in force, which an administrator may change while the agent runs. */
class LivePolicy {
  private policy: Policy = NO_POLICY;
  check = policyCheck(NO_POLICY);

  constructor(
    private readonly file: string | undefined,
    private readonly conditions: Conditions,
    private readonly log: Logger,
  ) {}

  async load(): Promise<void> {
    if (this.file === undefined) return;
    this.policy = await readPolicy(this.file);
    this.check = policyCheck(this.policy);
    if (this.policy.killSwitch)
      this.conditions.raise('PolicyPermits', 'KILL_SWITCH', `the kill switch in ${this.file} is on: no forward is carried`);
    else this.conditions.clear('PolicyPermits', 'the kill switch is off');
  }

  async reload(): Promise<boolean> {
    try {
      await this.load();
      this.log.info({ file: this.file }, 'policy read again');
      return true;
    } catch (error) {
      this.log.error({ err: error }, 'the policy could not be read again; the one before stays in force');
      return false;
    }
  }
}
