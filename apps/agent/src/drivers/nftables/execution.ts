import type { Family } from '@gwctl/shared/domain/ip';
import { AppError } from '@gwctl/shared/errors/app-error';
import type { Filters } from '../../filters/filter-programs.js';
import { type Flow, type FlowMatch, matches } from '../../system/conntrack.js';
import type { IpForwarding } from '../../system/ip-forwarding.js';
import type { LiveFlows } from '../../system/live-flows.js';
import type { PacketsUnderWay } from '../../system/under-way.js';
import { linesOf } from './changes.js';
import { remaining } from './diff.js';
import type { LayoutOptions } from './layout.js';
import type { NftTable } from './nft.js';
import { flowsOf, type Observed, type ObservedTable, type ObservedTables, type OwnWay, type Patch } from './observe.js';
import type { Rendered } from './render.js';
import { FAMILIES, type SetSpec } from './sets.js';
import type { LookForFlowsStep, NftablesPlan, NftablesStep, ReleaseStep, SweepStep, TableStep, VerifyStep } from './steps.js';

/** Forwarding of the host as this driver needs it, for one family. */
export type ForwardingSwitch = Pick<IpForwarding, 'read' | 'turnOn' | 'restore'>;

/** How long a chain must have been empty before it may be deleted (kernels before 6.2). */
const SWEEP_AFTER_MS = 1000;

export interface ExecutionParts {
  readonly nft: NftTable;
  readonly filters: Filters;
  readonly forwarding: Readonly<Record<Family, ForwardingSwitch | undefined>>;
  readonly live: LiveFlows;
  readonly underWay: PacketsUnderWay;
  readonly layout: LayoutOptions;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Everything read back, told by what is expected. */
  readonly observed: (expect: Rendered) => Promise<Observed>;
}

/** One plan on its way into the kernel. */
export class Execution {
  /** Flows that are to go once the rules are in place. */
  readonly flows: FlowMatch[] = [];
  /** Why it could not be seen whether flows are alive; null: it could. Undefined: nobody looked. */
  looking: string | null | undefined;
  readonly #parts: ExecutionParts;
  readonly #before: Observed | undefined;
  /** Not yet written, so that all of it is one transaction. */
  #pending: TableStep[] = [];
  /** How many transactions were ours. */
  #written = 0;
  /** Whether a filter of others was changed. */
  #placed = false;
  /** Ways that flows live on. */
  #alive: ReadonlySet<OwnWay> = new Set();
  readonly #released: OwnWay[] = [];
  readonly #swept: SweepStep[] = [];
  readonly #removed = new Set<Family>();

  constructor(parts: ExecutionParts, before: Observed | undefined) {
    this.#parts = parts;
    this.#before = before;
  }

  /** What there is afterwards; undefined where it is not known. */
  async run({ steps }: NftablesPlan): Promise<Observed | undefined> {
    let after = this.#before;
    for (const step of steps) {
      if (step.kind === 'verify') after = await this.#verified(step);
      else await this.#execute(step);
    }
    return after;
  }

  async #execute(step: Exclude<NftablesStep, VerifyStep>): Promise<void> {
    switch (step.kind) {
      case 'elements':
      case 'rebuild':
      case 'closed':
        this.#pending.push(step);
        return;
      case 'let-pass':
        await this.#write();
        return this.#parts.underWay();
      case 'sweep':
        return this.#sweep(step);
      case 'remove-table':
        return this.#removeTable(step);
      case 'look-for-flows':
        this.#alive = await this.#look(step);
        return;
      case 'release':
        return this.#release(step);
      case 'companion':
        if (step.onlyWhenIdle && !this.#idle(step.family)) return;
        await this.#write();
        await this.#parts.filters.place(step);
        this.#placed = true;
        return;
      case 'ip-forward': {
        const forwarding = this.#parts.forwarding[step.family];
        await this.#write();
        if (step.to === 'on') await forwarding?.turnOn();
        else if (!step.onlyWhenIdle || this.#idle(step.family)) await forwarding?.restore();
        return;
      }
      case 'flows':
        this.flows.push(step.match);
        return;
    }
  }

  #idle(family: Family): boolean {
    return ![...this.#alive].some((way) => way.set.family === family);
  }

  #removeTable(step: TableStep & { readonly kind: 'remove-table' }): void {
    if (!this.#idle(step.family)) return;
    // What the table held before no longer matters.
    this.#pending = this.#pending.filter((p) => familyOf(p) !== step.family);
    this.#pending.push(step);
    this.#removed.add(step.family);
  }

  #sweep(step: SweepStep): void {
    const now = this.#parts.now();
    const chains = new Map([...step.chains].filter(([, since]) => now - since >= SWEEP_AFTER_MS));
    if (chains.size === 0) return;
    const due = { ...step, chains };
    this.#pending.push(due);
    this.#swept.push(due);
  }

  /** The elements that no flow lives on, set by set. */
  #release({ ways, title }: ReleaseStep): void {
    const idle = Map.groupBy(
      ways.filter((w) => !this.#alive.has(w)),
      (w) => w.set,
    );
    for (const [set, own] of idle) {
      this.#released.push(...own);
      const rebuilt = this.#pending.find((p) => p.kind === 'rebuild' && p.family === set.family);
      // A table that is made anew just does without them.
      if (rebuilt?.kind === 'rebuild') {
        const kept = rebuilt.kept.filter((w) => !own.includes(w));
        this.#pending = this.#pending.map((p) => (p.kind === 'rebuild' && p.family === set.family ? { ...p, kept } : p));
      } else this.#pending.push({ kind: 'elements', title, forwards: [], set, removed: own.map((w) => w.key), added: new Map() });
    }
  }

  async #write(): Promise<void> {
    if (this.#pending.length === 0) return;
    await this.#parts.nft.write(this.#pending.flatMap((step) => linesOf(step, this.#parts.layout)));
    this.#pending = [];
    this.#written++;
  }

  /**
   * The kernel carries out a transaction as a whole and counts it. So where the count is exactly ours above that of the mirror, nobody
   * else changed anything since, and the tables are the mirror with our changes: no listing could tell more. Otherwise everything is
   * read back and compared.
   */
  async #verified({ expect, after }: VerifyStep): Promise<Observed> {
    await this.#write();
    const before = this.#before;
    const generation = this.#parts.nft.generation();
    const exact = before?.generation !== undefined && generation === before.generation + this.#written;
    if (before && exact && !this.#placed) {
      const { read: _, ...rest } = before;
      return { ...rest, at: this.#parts.now(), generation, base: expect, tables: this.#tables(after) };
    }
    const observed = await this.#parts.observed(expect);
    const wrong = remaining(expect, observed, new Set(FAMILIES.filter((f) => this.#idle(f))));
    if (wrong.length > 0) throw notAsWritten('what was written does not read back as written', wrong);
    return observed;
  }

  #tables(after: ObservedTables): ObservedTables {
    const table = (family: Family): ObservedTable | undefined => {
      const one = after[family];
      if (!one || this.#removed.has(family)) return undefined;
      const swept = this.#swept.filter((s) => s.family === family).flatMap((s) => [...s.chains.keys()]);
      const now = this.#parts.now();
      // What the plan emptied, it emptied just now.
      const emptied = [...one.emptied].map(([chain, since]): [string, number] => [chain, Number.isNaN(since) ? now : since]);
      return {
        ...one,
        patch: without(one.patch, this.#released),
        emptied: new Map(emptied.filter(([chain]) => !swept.includes(chain))),
      };
    };
    return { 4: table(4), 6: table(6) };
  }

  async #look({ ways, ignoring }: LookForFlowsStep): Promise<ReadonlySet<OwnWay>> {
    try {
      const asked = ways.map((way) => ({ way, match: flowsOf(way) }));
      const live = await this.#parts.live.among(asked.map((a) => a.match));
      const flows = live.filter((f) => !isEcho(f) && !ignoring.some((m) => matches(f, m)));
      this.looking = null;
      return new Set(asked.filter((a) => flows.some((f) => matches(f, a.match))).map((a) => a.way));
    } catch (error) {
      // Without knowing, the ways would stay for ever; nothing of ours may.
      this.looking = AppError.from(error).message;
      return new Set();
    }
  }
}

/** Of ICMP and ICMPv6: what was asked is answered by now, and nobody misses the rest. */
const isEcho = ({ protocol }: Flow): boolean => protocol === 1 || protocol === 58;

const familyOf = (step: TableStep): Family => (step.kind === 'elements' ? step.set.family : step.family);

function without(patch: ObservedTable['patch'], ways: readonly OwnWay[]): ObservedTable['patch'] {
  if (ways.length === 0) return patch;
  const gone = new Map<SetSpec, Set<string>>();
  for (const { set, key } of ways) gone.set(set, (gone.get(set) ?? new Set()).add(key));
  const left = [...patch].map(([set, entries]): [SetSpec, ReadonlyMap<string, Patch>] => [
    set,
    new Map([...entries].filter(([key]) => !gone.get(set)?.has(key))),
  ]);
  return new Map(left.filter(([, entries]) => entries.size > 0));
}

export const notAsWritten = (what: string, titles: readonly string[]) =>
  new AppError({
    code: 'ABORTED',
    reason: 'NOT_AS_WRITTEN',
    message: `${what}, perhaps because another program changes the same table; still to do: ${titles.join('; ').slice(0, 400)}`,
  });
