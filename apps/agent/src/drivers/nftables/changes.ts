import { CLOSED_CHAIN, CLOSED_RULE, layoutLines, removalLines, SETS, type SetName, TABLE } from './layout.js';
import { elementsOf, type ObservedTable } from './observe.js';
import type { TableStep } from './steps.js';

/** Elements in one command: long enough to be quick, short enough that an error message can be read. */
const PER_COMMAND = 1000;

/** A step in nft's words. All steps of a plan go to the kernel as one transaction. */
export function linesOf(step: TableStep): string[] {
  switch (step.kind) {
    case 'elements':
      return [...elementLines('delete', step.set, step.removed), ...elementLines('add', step.set, [...step.added].map(text))];
    case 'rebuild':
      return [
        ...removalLines(TABLE),
        ...layoutLines(TABLE, { closed: step.closed }),
        ...[...step.sets].flatMap(([set, elements]) => elementLines('add', set, [...elements].map(text))),
      ];
    case 'closed':
      return step.closed ? [`add rule ip ${TABLE} ${CLOSED_CHAIN} ${CLOSED_RULE}`] : [`flush chain ip ${TABLE} ${CLOSED_CHAIN}`];
    case 'remove-table':
      return removalLines(TABLE);
  }
}

/** What the table is after a step: the kernel carries out all of a transaction or nothing. */
export function become(table: ObservedTable | undefined, step: TableStep): ObservedTable | undefined {
  if (step.kind === 'remove-table') return undefined;
  if (step.kind === 'rebuild')
    return {
      defects: [],
      closed: step.closed,
      sets: new Map(SETS.map(({ name }) => [name, step.sets.get(name) ?? new Map()])),
    };
  if (!table) throw new Error(`there is no table to change: ${step.title}`);
  if (step.kind === 'closed') return { ...table, closed: step.closed };
  const elements = new Map(elementsOf(table, step.set));
  for (const key of step.removed) elements.delete(key);
  for (const [key, suffix] of step.added) elements.set(key, suffix);
  return { ...table, sets: new Map([...table.sets, [step.set, elements]]) };
}

const text = ([key, suffix]: readonly [string, string]) => `${key}${suffix}`;

function elementLines(command: 'add' | 'delete', set: SetName, elements: readonly string[]): string[] {
  const lines: string[] = [];
  for (let at = 0; at < elements.length; at += PER_COMMAND)
    lines.push(`${command} element ip ${TABLE} ${set} { ${elements.slice(at, at + PER_COMMAND).join(', ')} }`);
  return lines;
}
