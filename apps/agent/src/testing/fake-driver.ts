import type { Detection, DriftFound, Driver, DriverCondition, Plan, Step } from '../drivers/driver.js';
import type { HostDesired } from '../planner/types.js';
import { LEAST } from './gateway.js';

type Objects = ReadonlyMap<string, { readonly uid: string; readonly text: string }>;

interface FakeStep extends Step {
  readonly kind: 'put' | 'remove';
  readonly key: string;
  readonly uid: string;
  readonly text: string;
}

/** A driver whose kernel is a map, with one object per forward. Steps take effect one by one, so that a plan can fail half-way. */
export class FakeDriver implements Driver<Objects, Objects, FakeStep> {
  readonly name = 'iptables-nft';
  readonly capabilities = LEAST;
  /** What the host holds. Tests change it as a stranger would. */
  readonly kernel = new Map<string, { uid: string; text: string }>();
  /** Uids that the kernel refuses. */
  readonly poison = new Set<string>();
  /** Every write fails with this. */
  broken: Error | undefined;
  /** Reading back fails with this. */
  blind: Error | undefined;
  readonly applied: Plan<FakeStep>[] = [];
  observed = 0;
  facts: DriverCondition[] = [];
  private remembered: Objects | undefined;
  private listener: ((by: { process?: string; pid?: number }) => void) | undefined;

  readonly watch?: NonNullable<Driver['watch']>;

  constructor(options: { readonly watched?: boolean } = {}) {
    if (options.watched !== false)
      this.watch = (onChange) => {
        this.listener = onChange;
        return {
          close: () => {
            this.listener = undefined;
          },
        };
      };
  }

  /** A stranger changes the kernel, and the kernel says so where it is watched. */
  tamper(change: (kernel: Map<string, { uid: string; text: string }>) => void, process = 'iptables'): void {
    change(this.kernel);
    this.listener?.({ process, pid: 4242 });
  }

  get watching(): boolean {
    return this.listener !== undefined;
  }

  async detect(): Promise<Detection> {
    return { supported: true, detail: 'a map' };
  }

  render(desired: HostDesired): Objects {
    return new Map(
      desired.forwards.map((f) => [
        f.key,
        { uid: f.uid, text: `${f.generation} ${f.listen.ports?.first} ${f.targets[0]?.address.text}` },
      ]),
    );
  }

  async observe(): Promise<Objects> {
    this.observed++;
    if (this.blind) throw this.blind;
    this.remembered = new Map(this.kernel);
    return this.remembered;
  }

  mirror(): Objects | undefined {
    return this.remembered;
  }

  diff(rendered: Objects, observed: Objects): Plan<FakeStep> {
    const steps: FakeStep[] = [];
    for (const [key, { uid, text }] of rendered)
      if (observed.get(key)?.text !== text) steps.push({ kind: 'put', key, uid, text, title: `put ${key}`, forwards: [key] });
    for (const [key, { uid, text }] of observed)
      if (!rendered.has(key)) steps.push({ kind: 'remove', key, uid, text, title: `remove ${key}`, forwards: [key] });
    return { steps };
  }

  async apply(plan: Plan<FakeStep>): Promise<void> {
    this.remembered = undefined;
    for (const step of plan.steps) {
      await Promise.resolve();
      if (this.broken) throw this.broken;
      if (step.kind === 'put' && this.poison.has(step.uid)) throw new Error(`the kernel refuses ${step.key}`);
      if (step.kind === 'put') this.kernel.set(step.key, { uid: step.uid, text: step.text });
      else this.kernel.delete(step.key);
    }
    this.applied.push(plan);
    this.remembered = new Map(this.kernel);
  }

  drift(applied: Objects, observed: Objects): DriftFound[] {
    const found: DriftFound[] = [];
    for (const [key, { uid, text }] of applied) {
      const there = observed.get(key);
      if (there?.text === text) continue;
      found.push({
        forwards: [uid],
        drift: {
          cause: there ? 'altered' : 'missing',
          object: `fake/${key}`,
          message: there ? `it says ${there.text}` : 'it is gone',
          detected: 0,
        },
      });
    }
    return found;
  }

  conditions(): readonly DriverCondition[] {
    return this.facts;
  }

  async cleanUp(): Promise<void> {
    this.kernel.clear();
    this.remembered = undefined;
  }
}
