import type { Context } from '../context.js';
import { toJson, toYaml } from './documents.js';
import type { Format } from './format.js';
import { tableLines } from './table.js';

export interface Column<R> {
  readonly title: string;
  /** Shown with `-o wide` only. */
  readonly wide?: boolean;
  /** An empty cell is shown as `-`. `now` in milliseconds since the epoch. */
  readonly cell: (resource: R, now: number) => string;
}

/** How resources of one kind are shown. */
export interface View<R> {
  /** Singular, for instance `Forward`. */
  readonly kind: string;
  /** Plural, for talk, for instance `forwards`. */
  readonly plural: string;
  readonly name: (resource: R) => string;
  readonly columns: readonly Column<R>[];
}

/** Prints a list; says so on standard error where it is empty. JSON is one object with `items`, YAML one document for each. */
export async function printList<R>(
  context: Context,
  view: View<R>,
  items: readonly R[],
  options: { readonly format: Format | undefined; readonly headers?: boolean; readonly none?: string },
): Promise<void> {
  const { format = 'table' } = options;
  if (format === 'json') {
    context.printDocument(toJson({ apiVersion: 'gwctl/v1', kind: `${view.kind}List`, items }));
    return;
  }
  if (items.length === 0) context.talk(options.none ?? `no ${view.plural}`);
  else if (format === 'yaml') context.printDocument(await toYaml(items));
  else if (format === 'name') for (const item of items) context.print(view.name(item));
  else
    for (const line of listLines(view, items, context.clock.now(), format === 'wide', options.headers ?? true))
      context.print(line);
}

/** Prints one resource in the format that was asked for. */
export async function printOne<R>(context: Context, view: View<R>, resource: R, format: Format): Promise<void> {
  if (format === 'json') context.printDocument(toJson(resource));
  else await printList(context, view, [resource], { format });
}

export function listLines<R>(view: View<R>, items: readonly R[], now: number, wide: boolean, headers: boolean): string[] {
  const columns = view.columns.filter((c) => wide || !c.wide);
  const rows = items.map((item) => columns.map((c) => c.cell(item, now) || '-'));
  return tableLines(headers ? [columns.map((c) => c.title), ...rows] : rows);
}

/** The first `limit` entries, 0 for all, and whether there are more. */
export async function take<T>(
  entries: AsyncIterable<T>,
  limit: number,
): Promise<{ readonly items: T[]; readonly more: boolean }> {
  const items: T[] = [];
  for await (const entry of entries) {
    if (limit > 0 && items.length === limit) return { items, more: true };
    items.push(entry);
  }
  return { items, more: false };
}
