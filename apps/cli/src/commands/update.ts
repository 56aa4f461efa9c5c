/** What `forward set` and `egress set` share: changes go out as they are, labels are merged into those that stand. */
import { AppError } from '@gwctl/shared/errors/app-error';
import type { EntryKind } from '../context/control-plane.js';
import { CliError } from '../errors/cli-error.js';
import { changeLabels, type LabelChange, type Labels } from '../flags/labels.js';
import type { Metadata } from '../resources/metadata.js';

/** How often labels are merged anew when somebody else changed the resource in between. */
const ATTEMPTS = 3;

interface Updatable<R, C> {
  get(name: string): Promise<R>;
  update(name: string, changes: C, options: { readonly etag?: string; readonly dryRun: boolean }): Promise<R>;
}

/** Refuses to change nothing. */
export async function update<R extends { readonly metadata: Metadata }, C extends { readonly labels?: Labels }>(
  collection: Updatable<R, C>,
  kind: EntryKind,
  name: string,
  changes: C,
  options: { readonly labels: readonly LabelChange[]; readonly etag: string | undefined; readonly dryRun: boolean },
): Promise<R> {
  const { labels, etag, dryRun } = options;
  if (labels.length > 0) return updateWithLabels(collection, name, changes, options);
  if (Object.keys(changes).length === 0)
    throw new CliError({ kind: 'usage', message: 'nothing to change: no flag says what', hint: `gwctl ${kind} set --help` });
  return collection.update(name, changes, { ...(etag === undefined ? {} : { etag }), dryRun });
}

/** Labels travel as a whole, so they are read, changed and written back under the etag that was read. */
async function updateWithLabels<R extends { readonly metadata: Metadata }, C extends { readonly labels?: Labels }>(
  collection: Updatable<R, C>,
  name: string,
  changes: C,
  options: { readonly labels: readonly LabelChange[]; readonly etag: string | undefined; readonly dryRun: boolean },
): Promise<R> {
  const { etag, dryRun } = options;
  for (let attempt = 1; ; attempt++) {
    const { metadata } = await collection.get(name);
    const labels = changeLabels(metadata.labels, options.labels);
    if (!labels.ok) throw CliError.usage([{ field: 'labels', description: labels.error }]);
    try {
      return await collection.update(name, { ...changes, labels: labels.value }, { etag: etag ?? metadata.etag ?? '', dryRun });
    } catch (error) {
      const stale = error instanceof AppError && error.code === 'ABORTED';
      if (!stale || etag !== undefined || attempt === ATTEMPTS) throw error;
    }
  }
}
