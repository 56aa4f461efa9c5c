import { CLOSED_CHAIN, CLOSED_RULE } from './chains.js';
import { type LayoutOptions, layoutLines, removalLines, TABLE, tableName } from './layout.js';
import { elementsOf } from './render.js';
import { POOL_CHAINS, type SetSpec } from './sets.js';
import type { RebuildStep, TableStep } from './steps.js';

/** Elements in one command: long enough to be quick, short enough that an error message can be read. */
const PER_COMMAND = 1000;

/** A step in nft's words. All steps of a plan go to the kernel as one transaction. */
export function linesOf(step: TableStep, options: LayoutOptions): string[] {
  switch (step.kind) {
    case 'elements':
      if (step.set === POOL_CHAINS[step.set.family]) return poolLines(step.set, step.removed, step.added);
      return [...elementLines('delete', step.set, step.removed), ...elementLines('add', step.set, [...step.added].map(text))];
    case 'rebuild':
      return rebuildLines(step, options);
    case 'closed': {
      const table = tableName(step.family);
      return step.closed ? [`add rule ${table} ${CLOSED_CHAIN} ${CLOSED_RULE}`] : [`flush chain ${table} ${CLOSED_CHAIN}`];
    }
    case 'sweep':
      return [...step.chains.keys()].map((chain) => `delete chain ${tableName(step.family)} ${chain}`);
    case 'remove-table':
      return removalLines(step.family);
  }
}

function rebuildLines({ family, closed, kept, rendered }: RebuildStep, options: LayoutOptions): string[] {
  const bySet = new Map<SetSpec, string[]>();
  const put = (set: SetSpec, element: string) => {
    const there = bySet.get(set);
    if (there) there.push(element);
    else bySet.set(set, [element]);
  };
  const pools = new Map<string, string>();
  for (const way of kept) put(way.set, way.key + way.suffix);
  for (const element of elementsOf(rendered, family)) {
    if (element.set === POOL_CHAINS[family]) pools.set(element.key, element.suffix);
    else put(element.set, element.key + element.suffix);
  }
  return [
    ...removalLines(family),
    ...layoutLines(family, { ...options, table: TABLE, closed }),
    ...poolLines(POOL_CHAINS[family], [], pools),
    ...[...bySet].flatMap(([set, elements]) => elementLines('add', set, elements)),
  ];
}

/** Chains that go are only emptied (see SweepStep). */
function poolLines({ family }: SetSpec, removed: readonly string[], added: ReadonlyMap<string, string>): string[] {
  const table = tableName(family);
  const gone = removed.filter((chain) => !added.has(chain));
  return [
    ...[...added.keys()].map((chain) => `add chain ${table} ${chain}`),
    ...[...gone, ...added.keys()].map((chain) => `flush chain ${table} ${chain}`),
    ...[...added].flatMap(([chain, rules]) => rules.split('\n').map((rule) => `add rule ${table} ${chain} ${rule}`)),
  ];
}

const text = ([key, suffix]: readonly [string, string]) => `${key}${suffix}`;

function elementLines(command: 'add' | 'delete', { family, name }: SetSpec, elements: readonly string[]): string[] {
  const lines: string[] = [];
  for (let at = 0; at < elements.length; at += PER_COMMAND)
    lines.push(`${command} element ${tableName(family)} ${name} { ${elements.slice(at, at + PER_COMMAND).join(', ')} }`);
  return lines;
}
