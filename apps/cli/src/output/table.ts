import stringWidth from 'string-width';
import { escapeText } from './escape.js';

/** Between two columns. */
const GAP = '   ';

/** Lines of a table: columns as wide as their widest cell, nothing after the last. Linear, since lists have 50,000 rows. */
export function tableLines(rows: readonly (readonly string[])[]): string[] {
  // Escaped before the widths are taken, and before a line break could make a second row.
  const cells = rows.map((row) => row.map(escapeText));
  const widths: number[] = [];
  for (const row of cells) for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, width(cell));
  return cells.map((row) =>
    row
      .map((cell, i) => cell + ' '.repeat((widths[i] ?? 0) - width(cell)))
      .join(GAP)
      .trimEnd(),
  );
}

/** Columns that a terminal gives to a text: East Asian ones take two for each character. */
const width = (text: string): number => (/^[\x20-\x7e]*$/.test(text) ? text.length : stringWidth(text));
