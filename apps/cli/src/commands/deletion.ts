/** What `forward delete` and `egress delete` share. */
import { parseName } from '@gwctl/shared/domain/names';
import { defineCommand, type Example, flag, manyArguments, value } from '../command/definition.js';
import { collectionOf, type EntryKind, plural } from '../context/control-plane.js';
import { CliError } from '../errors/cli-error.js';
import { forEachName } from '../errors/several.js';
import { parseEtag } from '../flags/etag.js';
import { waitOption } from '../flags/forward-flags.js';
import { waitForRemoval } from '../wait/wait-for-removal.js';

export const deleteCommand = (kind: EntryKind, description: string, examples: readonly Example[]) =>
  defineCommand({
    path: `${kind} delete`,
    summary: `Delete ${plural(kind)}`,
    description,
    args: {
      names: manyArguments({
        placeholder: 'NAME',
        summary: `Names of ${plural(kind)}`,
        parse: parseName,
        complete: plural(kind),
      }),
    },
    options: {
      etag: value({ placeholder: 'ETAG', summary: 'Delete it only if it is still this one (one NAME only)', parse: parseEtag }),
      dryRun: flag({ summary: 'Check everything, change nothing' }),
      ...waitOption,
    },
    formats: [],
    connects: true,
    examples,
    async run(context, { args, options }) {
      const { etag, dryRun, wait } = options;
      if (etag !== undefined && args.names.length > 1)
        throw CliError.usage([{ field: '--etag', description: `fits one ${kind} only; delete them one by one` }]);
      if (dryRun && wait !== undefined)
        throw CliError.usage([{ field: '--wait', description: 'has nothing to wait for with --dry-run; leave out one of them' }]);
      const controlPlane = await context.controlPlane();
      const collection = collectionOf(controlPlane, kind);
      await forEachName(context, args.names, async (name) => {
        const revisions = await collection.delete(name, { ...(etag === undefined ? {} : { etag }), dryRun });
        context.talk(`${kind} ${name} ${dryRun ? 'would be deleted (nothing was changed)' : 'deleted'}`);
        if (wait !== undefined) await waitForRemoval(context, controlPlane, { kind, name }, revisions, wait);
      });
    },
  });
