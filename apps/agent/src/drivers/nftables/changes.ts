import { CLOSED_CHAIN, CLOSED_RULE } from './chains.js';
import { type LayoutOptions, layoutLines, removalLines, TABLE, tableName } from './layout.js';
import { eachElement } from './render.js';
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
  const bySet = new Map<SetSpec, Commands>();
  const put = (set: SetSpec, element: string) => {
    let there = bySet.get(set);
    if (!there) {
      there = new Commands('add', set);
      bySet.set(set, there);
    }
    there.put(element);
  };
  const pools = new Map<string, string>();
  for (const way of kept) put(way.set, way.key + way.suffix);
  eachElement(rendered, family, ({ set, key, suffix }) => {
    if (set === POOL_CHAINS[family]) pools.set(key, suffix);
    else put(set, key + suffix);
  });
  return [
    ...removalLines(family),
    ...layoutLines(family, { ...options, table: TABLE, closed }),
    ...poolLines(POOL_CHAINS[family], [], pools),
    ...[...bySet.values()].flatMap((commands) => commands.lines()),
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

function elementLines(command: 'add' | 'delete', set: SetSpec, elements: Iterable<string>): readonly string[] {
  const commands = new Commands(command, set);
  for (const element of elements) commands.put(element);
  return commands.lines();
}

/** Elements of one set on their way into commands: of hundreds of thousands few are waiting at a time. */
class Commands {
  readonly #before: string;
  readonly #lines: string[] = [];
  #waiting: string[] = [];

  constructor(command: 'add' | 'delete', { family, name }: SetSpec) {
    this.#before = `${command} element ${tableName(family)} ${name} { `;
  }

  put(element: string): void {
    if (this.#waiting.push(element) === PER_COMMAND) this.#end();
  }

  lines(): readonly string[] {
    if (this.#waiting.length > 0) this.#end();
    return this.#lines;
  }

  #end(): void {
    this.#lines.push([this.#before, this.#waiting.join(', '), ' }'].join(''));
    this.#waiting = [];
  }
}
