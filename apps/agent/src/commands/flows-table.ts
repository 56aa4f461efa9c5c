import { escapeText } from '../status/escape.js';
import { duration } from '../status/render.js';
import { called, type FlowsReport } from './flows-report.js';

/** The report for people: relays, flows, forwards. */
export function renderFlows(report: FlowsReport): string {
  const relays = report.relays.map(
    ({ pid, engine, draining }) =>
      `relay ${pid}, ${engine} engine, ${draining ? 'accepts nothing new and ends with its last connection' : 'listens'}`,
  );
  return [...relays, '', ...flows(report), '', ...forwards(report)].map(escapeText).join('\n');
}

function flows({ relays, flows: list, more }: FlowsReport): readonly string[] {
  if (list.length === 0) return ['no flows'];
  // With one relay there is nothing to tell apart.
  const several = relays.length > 1;
  const head = ['FORWARD', 'PROTO', 'CLIENT', 'LISTENER', 'SOURCE', 'TARGET', 'AGE', 'IDLE', 'TO TARGET', 'TO CLIENT'];
  const rows = list.map((f) => [
    called(f),
    f.transport,
    f.client,
    f.listener,
    f.source,
    f.target,
    duration(f.ageMs),
    duration(f.idleMs),
    `${f.bytesToTarget} B`,
    `${f.bytesToClient} B`,
    ...(several ? [`${f.relay}`] : []),
  ]);
  const table = laid([several ? [...head, 'RELAY'] : head, ...rows]);
  return more ? [...table, `and more: these are ${list.length} of them, --most shows others too`] : table;
}

function forwards({ forwards: list }: FlowsReport): readonly string[] {
  if (list.length === 0) return ['no forwards'];
  const rows = list.map((f) => [called(f), ...[f.open, f.flows, f.refused, f.limited, f.failed].map(String)]);
  return laid([['FORWARD', 'OPEN', 'FLOWS', 'REFUSED', 'LIMITED', 'FAILED'], ...rows]);
}

/** Columns as wide as what is in them. */
function laid(rows: readonly (readonly string[])[]): readonly string[] {
  const widths: number[] = [];
  for (const row of rows) for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, cell.length);
  return rows.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}
