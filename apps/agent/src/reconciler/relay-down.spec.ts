/** A gateway whose relay does not come up, and one of whose other forwards the kernel refuses: each is told of what concerns it. */
import { DEFAULT_SETTINGS } from '@gwctl/shared/domain/gateway-settings';
import { AppError } from '@gwctl/shared/errors/app-error';
import { createLogger } from '@gwctl/shared/logging/logger';
import { afterEach, expect, it } from 'vitest';
import type { Found } from '../control-link/outbox.js';
import { readEntry } from '../desired/entry-codec.js';
import type { DesiredView } from '../desired/types.js';
import type { Driver, Step } from '../drivers/driver.js';
import { PairDriver } from '../drivers/pair/driver.js';
import { Planner } from '../planner/planner.js';
import type { HostFacts, ReadEntry } from '../planner/types.js';
import { Conditions } from '../status/conditions.js';
import { FakeClock, settle } from '../testing/fake-clock.js';
import { FakeDriver } from '../testing/fake-driver.js';
import { EPOCH, entry, uidOf } from '../testing/forwards.js';
import { ip } from '../testing/placed.js';
import { Reconciler } from './reconciler.js';

const down = new AppError({ code: 'UNAVAILABLE', reason: 'RELAY_DOWN', message: 'no relay runs: it keeps ending' });

/** A relay that carries what it is told to, unless it is down. */
class FakeRelay implements Driver<readonly string[], readonly string[], Step> {
  readonly name = 'relay';
  readonly capabilities = { ...new FakeDriver().capabilities, kind: 'relay' } as const;
  trouble: AppError | undefined = down;
  #carried: readonly string[] = [];
  #wanted: readonly string[] = [];
  #known = true;

  async detect() {
    return { supported: true, detail: '' };
  }
  render({ relayed }: Parameters<Driver['render']>[0]): readonly string[] {
    return relayed.map((f) => f.key);
  }
  async observe() {
    this.#known = true;
    return this.#carried;
  }
  mirror() {
    return this.#known ? this.#carried : undefined;
  }
  diff(wanted: readonly string[], carried: readonly string[]) {
    this.#wanted = wanted;
    const due = wanted.filter((key) => !carried.includes(key));
    return { steps: due.map((key) => ({ kind: 'relay-set', title: `set ${key}`, forwards: [key] })) };
  }
  async apply() {
    this.#known = false;
    if (this.trouble) throw this.trouble;
    this.#carried = this.#wanted;
    this.#known = true;
  }
  drift() {
    return [];
  }
  conditions() {
    return [];
  }
  async cleanUp() {}
}

/** 1 to 8 are the kernel's, 9 is the relay's. */
function entries(): readonly ReadEntry[] {
  return Array.from({ length: 9 }, (_, i) => {
    const read = readEntry(entry(i + 1));
    if (read.kind !== 'forward' || i < 8) return read;
    return { ...read, forward: { ...read.forward, spec: { ...read.forward.spec, driver: 'relay' } } };
  });
}

let running: Reconciler | undefined;
afterEach(() => running?.stop());

it('the one that the kernel refuses is found, the others are served, and the relay is what keeps its own forward', async () => {
  const clock = new FakeClock();
  const [kernel, relay] = [new FakeDriver(), new FakeRelay()];
  kernel.poison.add(uidOf(3));
  const reports: Found[] = [];
  const conditions = new Conditions({ clock });
  const facts: HostFacts = {
    addresses: [{ address: ip('192.0.2.1'), prefix: 24, interface: 'eth0' }],
    interfaces: ['eth0'],
    sockets: [],
    protected: [],
  };
  const view: DesiredView = { complete: true, epoch: EPOCH, revision: 1, entries: entries(), settings: DEFAULT_SETTINGS };
  const policy = { forward: () => [], egress: () => [], permits: () => true, permitsLocal: () => false, maxForwards: 100 };
  const carriers = { kernel: kernel.capabilities, relay: { families: [4] as const, targets: 8, announce: true } };
  running = new Reconciler({
    driver: new PairDriver({ kernel: kernel as unknown as Driver<unknown, unknown, Step>, relay }) as unknown as Driver,
    planner: {
      facts: async () => facts,
      make: (carried) => new Planner({ capabilities: carriers, keyOf: (uid) => uid.slice(-8), carried }),
      policy: () => policy,
    },
    lookups: { names: () => new Map(), health: { version: 0, of: () => undefined }, want: () => {}, onChange: () => {} },
    desired: { view: () => view, onChange: () => {} },
    sink: { report: (found) => reports.push(found), event: () => {}, conditions },
    runtime: { clock, random: () => 0.5, log: createLogger({ name: 'spec', level: 'silent' }) },
  });
  running.start();
  await settle();
  const status = (n: number) => reports.at(-1)?.statuses.get(uidOf(n));
  const relayed = { state: 'DEGRADED', conditions: [{ type: 'Applied', reason: 'RELAY_DOWN', message: down.message }] };
  // Before anybody is singled out the relay's is told the relay's reason, and nobody else.
  expect(status(9)).toMatchObject(relayed);
  expect(status(3)).toMatchObject({
    conditions: [{ type: 'Applied', reason: 'APPLY_FAILED', message: 'the kernel refuses 00000003' }],
  });
  await clock.advance(5_000);
  expect([...kernel.kernel.keys()].map(Number)).toEqual([1, 2, 4, 5, 6, 7, 8]);
  expect([1, 2, 4, 5, 6, 7, 8].map((n) => status(n)?.state)).toEqual(Array(7).fill('ACTIVE'));
  expect(status(3)).toMatchObject({
    state: 'REJECTED',
    violations: [{ field: 'spec', description: 'the kernel refuses 00000003' }],
  });
  expect(status(9)).toMatchObject(relayed);
  expect(conditions.list().find((c) => c.type === 'Applied')).toMatchObject({ status: 'false' });
  relay.trouble = undefined;
  await clock.advance(120_000);
  expect(status(9)?.state).toBe('ACTIVE');
  expect(conditions.list().find((c) => c.type === 'Applied')).toMatchObject({ status: 'true' });
});
