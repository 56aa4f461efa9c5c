/** In which order a plan changes the table, and what flows need outside it. */
import type { Family } from '@gwctl/shared/domain/ip';
import type { CompanionStep, ElementsStep, ForwardingStep, LetPassStep, NftablesStep, TableStep } from './steps.js';

/** What a family needs outside its table. */
export interface Around {
  readonly family: Family;
  readonly leaving: boolean;
  readonly companions: readonly CompanionStep[];
  readonly inputs: readonly CompanionStep[];
  readonly forwarding: readonly ForwardingStep[];
}

interface Order {
  readonly rules: readonly NftablesStep[];
  /** Once the rules are known to be there. */
  readonly afterwards: readonly NftablesStep[];
}

export function inOrder(shared: readonly Around[], table: readonly TableStep[], release: readonly NftablesStep[]): Order {
  const [leaving, staying] = [shared.filter((s) => s.leaving), shared.filter((s) => !s.leaving)];
  return {
    // Off while the rules still keep other traffic out, on once they are known to.
    rules: [
      ...leaving.flatMap((s) => s.forwarding),
      ...leaving.flatMap((s) => s.companions),
      ...table,
      ...release,
      ...staying.flatMap((s) => s.companions),
      ...shared.flatMap((s) => s.inputs),
    ],
    afterwards: staying.flatMap((s) => s.forwarding),
  };
}

/**
 * Where the relay listens, or is to: who has new flows changes in one transaction, once whoever gets them can carry them. What those
 * needed who had them goes after that, once no packet is under way that met the listeners as they were: it would leave without its
 * source address, or be refused in the input hook.
 */
export function besideRelay(shared: readonly Around[], table: readonly TableStep[], release: readonly NftablesStep[]): Order {
  const [leaving, staying] = [shared.filter((s) => s.leaving), shared.filter((s) => !s.leaving)];
  const inputs = shared.flatMap((s) => s.inputs);
  // Others' traffic is kept out before forwarding is on, and let through after it is off.
  const opens = (s: TableStep) => s.kind === 'closed' && !s.closed;
  const parted = table.filter((s) => !opens(s)).map(ahead);
  const turn = parted.flatMap((p) => p.rest ?? []);
  const turned = turn.some(decides) ? turn.map(behind) : turn.map((rest) => ({ rest, last: undefined }));
  const later: readonly NftablesStep[] = [
    ...turned.flatMap((p) => p.last ?? []),
    ...release,
    ...leaving.flatMap((s) => s.forwarding),
    ...leaving.flatMap((s) => s.companions),
    ...table.filter(opens),
    ...inputs.filter((s) => !s.wanted),
  ];
  return {
    rules: [
      ...parted.flatMap((p) => p.first ?? []),
      ...inputs.filter((s) => s.wanted),
      ...staying.flatMap((s) => s.companions),
      ...staying.flatMap((s) => s.forwarding),
      ...turned.flatMap((p) => p.rest ?? []),
      ...(turn.some(decides) && later.length > 0 ? [LET_PASS] : []),
      ...later,
    ],
    afterwards: [],
  };
}

/**
 * What of a step comes in a transaction of its own, before. New elements of an interval set seem to show a moment after everything else
 * of their transaction (nf_tables_commit calls nft_set_commit_update last): a listener that is there already would find nobody allowed.
 */
function ahead(step: TableStep): { readonly first?: TableStep; readonly rest?: TableStep } {
  if (step.kind === 'rebuild' || step.kind === 'closed') return { first: step };
  if (step.kind !== 'elements' || !step.set.interval || /^(?:to|pool)-/.test(step.set.name)) return { rest: step };
  const { removed, added } = step;
  if (removed.length === 0) return { first: step };
  if (removed.length * added.size > MOST_COMPARED) return { rest: step };
  const free = new Map([...added].filter(([key]) => !removed.some((other) => touch(key, other))));
  if (free.size === 0) return { rest: step };
  const rest = { ...step, added: new Map([...added].filter(([key]) => !free.has(key))) };
  return { first: { ...step, removed: [], added: free }, rest };
}

const LET_PASS: LetPassStep = { kind: 'let-pass', title: 'wait until packets that are under way are through', forwards: [] };

/** Says who has new flows. */
const decides = (step: TableStep): boolean => step.kind === 'elements' && /^(?:to|pool)-/.test(step.set.name);

/** What a packet meets behind those: source addresses, and what lets it in to the relay. */
const isMetLater = ({ name }: ElementsStep['set']): boolean => /^(?:fixed|kept|masq|clamp|relay)-|^hairpin$/.test(name);

/** What only goes of a step, and that packets under way may need: it comes in a transaction of its own, later. */
function behind(step: TableStep): { readonly rest?: TableStep; readonly last?: TableStep } {
  if (step.kind !== 'elements' || !isMetLater(step.set)) return { rest: step };
  const { removed, added, set } = step;
  if (added.size === 0) return { last: step };
  if (removed.length * added.size > MOST_COMPARED) return { rest: step };
  const inTheWay = (key: string) => added.has(key) || (set.interval === true && [...added.keys()].some((a) => touch(a, key)));
  const gone = removed.filter((key) => !inTheWay(key));
  if (gone.length === 0) return { rest: step };
  return { rest: { ...step, removed: removed.filter(inTheWay) }, last: { ...step, removed: gone, added: new Map() } };
}

const MOST_COMPARED = 100_000;

/** Whether two keys may have something in common, so that a set takes the one only once the other is gone. */
function touch(a: string, b: string): boolean {
  const others = b.split(' . ');
  return a.split(' . ').every((field, i) => field === others[i] || /[-/]/.test(field) || /[-/]/.test(others[i] ?? ''));
}
