import { AppError } from '@gwctl/shared/errors/app-error';
import { beforeEach, describe, expect, it } from 'vitest';
import type { HostDesired, PlacedForward, PlacedRelayed } from '../../planner/types.js';
import { FakeDriver } from '../../testing/fake-driver.js';
import { placed } from '../../testing/placed.js';
import { relayed } from '../../testing/relayed.js';
import type { Detection, DriftFound, Driver, DriverCondition, OnKernelChange, PlacementFinding, Plan, Step } from '../driver.js';
import { PairDriver } from './driver.js';

type Carried = ReadonlyMap<string, PlacedRelayed>;
type FakeStep = Step & ({ readonly kind: 'relay-set'; forward: PlacedRelayed } | { readonly kind: 'relay-remove'; uid: string });

/** A relay whose listeners are a map. */
class FakeRelay implements Driver<Carried, Carried, FakeStep> {
  readonly name = 'relay';
  readonly capabilities = { ...new FakeDriver().capabilities, kind: 'relay' } as const;
  readonly listening = new Map<string, PlacedRelayed>();
  readonly refuses = new Set<string>();
  readonly supervised: (() => void)[] = [];
  down: Error | undefined;
  blind: Error | undefined;
  #failed = new Set<string>();
  #mirror: Carried | undefined;

  constructor(readonly log: string[]) {}

  async detect(): Promise<Detection> {
    return { supported: true, detail: '' };
  }
  render({ relayed: all }: HostDesired): Carried {
    return new Map([...all].map((r) => [r.uid, r]));
  }
  async observe(): Promise<Carried> {
    if (this.blind) throw this.blind;
    this.#mirror = new Map(this.listening);
    return this.#mirror;
  }
  mirror(): Carried | undefined {
    return this.#mirror;
  }
  diff(wanted: Carried, observed: Carried): Plan<FakeStep> {
    const steps: FakeStep[] = [];
    for (const uid of observed.keys())
      if (!wanted.has(uid)) steps.push({ kind: 'relay-remove', uid, title: `remove ${uid}`, forwards: [] });
    for (const [uid, forward] of wanted)
      if (observed.get(uid) !== forward && !this.#failed.has(uid))
        steps.push({ kind: 'relay-set', forward, title: `set ${uid}`, forwards: [forward.key] });
    return { steps };
  }
  async apply({ steps }: Plan<FakeStep>): Promise<void> {
    this.#mirror = undefined;
    if (this.down) throw this.down;
    for (const step of steps) {
      if (step.kind === 'relay-remove') this.listening.delete(step.uid);
      else if (this.refuses.has(step.forward.uid)) this.#failed.add(step.forward.uid);
      else this.listening.set(step.forward.uid, step.forward);
      this.log.push(step.kind);
    }
    this.#mirror = new Map(this.listening);
  }
  drift(applied: Carried, observed: Carried): DriftFound[] {
    const gone = [...applied.keys()].filter((uid) => !observed.has(uid) && !this.#failed.has(uid));
    return gone.map((uid) => ({
      forwards: [uid],
      drift: { cause: 'missing', object: `relay/${uid}`, message: '', detected: 0 },
    }));
  }
  conditions(): readonly DriverCondition[] {
    return [{ type: 'RelayRunning', status: 'true', reason: 'RUNNING', message: '' }];
  }
  findings(applied: Carried): readonly PlacementFinding[] {
    const condition = { type: 'Applied', status: 'false', reason: 'PORT_IN_USE', message: 'in use' } as const;
    return [...this.#failed].flatMap((uid) => (applied.has(uid) ? [{ uid, condition, instead: 'nothing' as const }] : []));
  }
  async counters() {
    return new Map([...this.listening.values()].map((r) => [r.key, { packets: 0, bytes: 1, flows: 1, refused: 0 }]));
  }
  async cleanUp(): Promise<void> {
    this.listening.clear();
  }
  watch(onChange: OnKernelChange) {
    this.supervised.push(() => onChange({}));
    return {
      close: () => {
        this.supervised.length = 0;
      },
    };
  }
  /** What failed may be tried again. */
  forgive(): void {
    this.#failed.clear();
    this.refuses.clear();
  }
}

class LoggingKernel extends FakeDriver {
  constructor(
    readonly log: string[],
    options: { readonly watched?: boolean } = {},
  ) {
    super(options);
  }
  override async apply(plan: Parameters<FakeDriver['apply']>[0]): Promise<void> {
    await super.apply(plan);
    for (const step of plan.steps) this.log.push(`kernel ${step.kind}`);
  }
}

const uid = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;
const forward = (n: number) => placed({ uid: uid(n), port: 1000 + n });
const relay = (n: number) => relayed({ uid: uid(n), port: 1000 + n });

type AnyDriver = Driver<unknown, unknown, Step>;

let log: string[];
/** Whether it is told who is waited for. */
let connecting: boolean;
let kernel: LoggingKernel;
let other: FakeRelay;
let pair: PairDriver<unknown, unknown, Step, unknown, unknown, Step>;
let rendered: ReturnType<typeof pair.render> | undefined;

beforeEach(() => {
  log = [];
  connecting = false;
  kernel = new LoggingKernel(log);
  other = new FakeRelay(log);
  rendered = undefined;
  pair = new PairDriver({
    kernel: kernel as unknown as Driver<unknown, unknown, Step>,
    relay: other as unknown as Driver<unknown, unknown, Step>,
    handshakesOver: async (listeners) => {
      if (connecting) log.push(...listeners.map((l) => `waited for ${l.address?.text}:${l.ports.first}`));
    },
  });
});

async function want(forwards: readonly PlacedForward[], relays: readonly PlacedRelayed[]) {
  const desired = { forwards, relayed: relays, egresses: [], protected: [], announced: [] };
  rendered = pair.render(desired, rendered);
  const plan = pair.diff(rendered, pair.mirror() ?? (await pair.observe()));
  if (plan.steps.length > 0) await pair.apply(plan);
  return plan.steps.map((s) => s.title);
}
const drift = async () => (rendered ? pair.drift(rendered, await pair.observe()) : []);
const findings = async () => (rendered ? pair.findings(rendered, await pair.observe()) : []);

describe('a kernel driver and the relay', () => {
  it('each carry their own, and have nothing left to do', async () => {
    await want([forward(1)], [relay(2)]);
    expect([[...kernel.kernel.values()].map((k) => k.uid), [...other.listening.keys()]]).toEqual([[uid(1)], [uid(2)]]);
    expect(await want([forward(1)], [relay(2)])).toHaveLength(1);
    expect(await drift()).toEqual([]);
    expect([...(await pair.counters()).keys()]).toEqual([relay(2).key]);
    await pair.cleanUp();
    expect([kernel.kernel.size, other.listening.size]).toEqual([0, 0]);
  });

  it('hand a forward over only once the other has it', async () => {
    await want([forward(1)], []);
    log.length = 0;
    await want([], [relay(1)]);
    expect(log).toEqual(['relay-set', 'kernel remove']);
    log.length = 0;
    await want([forward(1)], []);
    expect(log).toEqual(['kernel put', 'relay-remove']);
    expect([kernel.kernel.size, other.listening.size]).toEqual([1, 0]);
  });

  it('hand it over to the kernel once nobody is in the middle of connecting to the relay', async () => {
    await want([], [relay(1), relay(2), relay(3)]);
    log.length = 0;
    connecting = true;
    await want([forward(1), placed({ uid: uid(2), port: 1002, protocol: 'udp' })], []);
    expect(log).toEqual([
      'relay-remove',
      'kernel put',
      'kernel put',
      'waited for 203.0.113.10:1001',
      'relay-remove',
      'relay-remove',
    ]);
  });

  it('let go first of what nobody wants any more, whose listener may be another forward by now', async () => {
    await want([], [relay(1)]);
    log.length = 0;
    await want([forward(3)], [relay(2)]);
    expect(log).toEqual(['relay-remove', 'relay-set', 'kernel put']);
  });

  it('tell of both, and are watched together', async () => {
    await want([], [relay(1)]);
    kernel.tamper((k) => k.set('x', { uid: 'x', text: '' }));
    other.listening.clear();
    expect((await drift()).map((d) => d.drift.object)).toEqual([`relay/${uid(1)}`]);
    expect(pair.conditions(await pair.observe()).map((c) => c.type)).toEqual(['RelayRunning']);
    let told = 0;
    const watch = pair.watch?.(() => told++);
    other.supervised[0]?.();
    kernel.tamper(() => undefined);
    expect(told).toBe(2);
    watch?.close();
    expect([kernel.watching, other.supervised]).toEqual([false, []]);
  });

  it('look after the relay although the kernel announces no changes of rules', () => {
    const quiet = new PairDriver({ kernel: new LoggingKernel(log, { watched: false }), relay: other });
    expect(quiet.watch).toBeUndefined();
    quiet.watchHost?.(() => undefined);
    expect(other.supervised).toHaveLength(1);
  });
});

describe('a half that fails', () => {
  it('of the relay leaves the other as wanted, with what was to move', async () => {
    await want([forward(1), forward(2)], []);
    other.down = new Error('no relay');
    await expect(want([forward(3)], [relay(1)])).rejects.toThrow('no relay');
    expect([...kernel.kernel.values()].map((k) => k.uid).sort()).toEqual([uid(1), uid(3)]);
    other.down = undefined;
    rendered = undefined;
    await want([forward(3)], [relay(1)]);
    expect([[...kernel.kernel.values()].map((k) => k.uid), [...other.listening.keys()]]).toEqual([[uid(3)], [uid(1)]]);
  });

  it('of the kernel leaves the relay as wanted, with what was to move', async () => {
    await want([], [relay(1)]);
    kernel.broken = new Error('no kernel');
    await expect(want([forward(1)], [relay(2)])).rejects.toThrow('no kernel');
    expect([...other.listening.keys()].sort()).toEqual([uid(1), uid(2)]);
    kernel.broken = undefined;
    await want([forward(1)], [relay(2)]);
    expect([kernel.kernel.size, [...other.listening.keys()]]).toEqual([1, [uid(2)]]);
  });

  it('because it cannot be read is told, and the other is served', async () => {
    other.blind = new AppError({ code: 'UNAVAILABLE', reason: 'RELAY_MUTE', message: 'it says nothing' });
    await expect(want([forward(1)], [relay(2)])).rejects.toThrow('it says nothing');
    expect(kernel.kernel.size).toBe(1);
    expect(pair.conditions(await pair.observe())).toContainEqual(
      expect.objectContaining({ type: 'RelayReadable', status: 'false', reason: 'RELAY_MUTE' }),
    );
    other.blind = undefined;
    kernel.blind = new AppError({ code: 'ABORTED', reason: 'KERNEL_MUTE', message: 'no kernel to read' });
    await expect(want([forward(1)], [relay(2)])).rejects.toThrow('no kernel to read');
    expect([...other.listening.keys()]).toEqual([uid(2)]);
    other.blind = new Error('nor the relay');
    await expect(pair.observe()).rejects.toThrow('no kernel to read');
  });

  it('of the kernel that cannot be read takes nothing from the relay that was to move there', async () => {
    await want([], [relay(1)]);
    const later = new PairDriver({ kernel: new LoggingKernel(log), relay: other });
    const blind = new AppError({ code: 'ABORTED', reason: 'KERNEL_MUTE', message: 'no kernel to read' });
    const wanted = later.render({ forwards: [forward(1)], relayed: [], egresses: [], protected: [], announced: [] });
    const plan = later.diff(wanted, { ...(await later.observe()), kernel: { ok: false, error: blind } });
    await expect(later.apply(plan)).rejects.toThrow('no kernel to read');
    expect([...other.listening.keys()]).toEqual([uid(1)]);
    // Nor does it count as carried by the kernel from then on.
    log.length = 0;
    await later.apply(later.diff(wanted, await later.observe()));
    expect(log).toEqual(['kernel put', 'relay-remove']);
  });

  it('both fail, and both are told', async () => {
    other.down = new AppError({ code: 'UNAVAILABLE', reason: 'RELAY_DOWN', message: 'no relay' });
    kernel.broken = new AppError({ code: 'ABORTED', reason: 'NO_KERNEL', message: 'no kernel' });
    await expect(want([forward(1)], [relay(2)])).rejects.toThrow('no relay; and no kernel');
  });
});

describe('a forward that the relay refuses', () => {
  it('stays with the kernel as it was, for as long as it is refused', async () => {
    await want([forward(1)], []);
    other.refuses.add(uid(1));
    await want([], [relay(1), relay(2)]);
    expect([[...kernel.kernel.values()].map((k) => k.uid), [...other.listening.keys()]]).toEqual([[uid(1)], [uid(2)]]);
    expect(await findings()).toEqual([expect.objectContaining({ uid: uid(1), instead: 'older' })]);
    expect(await drift()).toEqual([]);
    expect(await want([], [relay(1), relay(2)])).toHaveLength(1);
    expect(kernel.kernel.size).toBe(1);
    other.forgive();
    await want([], [relay(1)]);
    expect([kernel.kernel.size, [...other.listening.keys()]]).toEqual([0, [uid(1)]]);
    expect(await drift()).toEqual([]);
  });

  it('stays with the kernel although this process only found it there', async () => {
    await want([forward(1)], []);
    pair = new PairDriver({ kernel: kernel as unknown as AnyDriver, relay: other as unknown as AnyDriver });
    rendered = undefined;
    expect(await want([forward(1)], [])).toEqual([]);
    other.refuses.add(uid(1));
    await want([], [relay(1)]);
    expect([...kernel.kernel.values()].map((k) => k.uid)).toEqual([uid(1)]);
  });

  it('leaves its old listener to the forward that has it now', async () => {
    const rival = { ...forward(2), listen: forward(1).listen };
    await want([forward(1)], []);
    other.refuses.add(uid(1));
    await want([rival], [relayed({ uid: uid(1), port: 2001 })]);
    expect([...kernel.kernel.values()].map((k) => k.uid)).toEqual([uid(2)]);
    expect(await findings()).toEqual([expect.objectContaining({ uid: uid(1), instead: 'nothing' })]);
  });

  it('leaves its old listener to the forward that has it with the relay now', async () => {
    await want([forward(1)], []);
    other.refuses.add(uid(1));
    await want([], [relayed({ uid: uid(1), port: 2001 }), relayed({ uid: uid(2), port: 1001 })]);
    expect([[...kernel.kernel.values()].map((k) => k.uid), [...other.listening.keys()]]).toEqual([[], [uid(2)]]);
  });

  it('is let go by the kernel once nobody wants it', async () => {
    await want([forward(1)], []);
    other.refuses.add(uid(1));
    await want([], [relay(1)]);
    await want([], []);
    expect(kernel.kernel.size).toBe(0);
  });

  it('that the kernel never had is carried by nobody', async () => {
    other.refuses.add(uid(1));
    await want([], [relay(1)]);
    expect(await findings()).toEqual([expect.objectContaining({ uid: uid(1), instead: 'nothing' })]);
  });
});
