import { parseName } from '@gwctl/shared/domain/names';
import { defineCommand, flag, manyArguments, value } from '../../command/definition.js';
import { CliError } from '../../errors/cli-error.js';
import { forEachName } from '../../errors/several.js';
import { parseEtag } from '../../flags/etag.js';
import { waitOption } from '../../flags/forward-flags.js';
import { waitForRemoval } from '../../wait/wait-for-removal.js';

export const deleteForward = defineCommand({
  path: 'forward delete',
  summary: 'Delete forwards',
  description:
    'What happens to their flows is what each says with --on-change. With --wait the command ends when every gateway says that they are gone.',
  args: {
    names: manyArguments({ placeholder: 'NAME', summary: 'Names of forwards', parse: parseName, complete: 'forwards' }),
  },
  options: {
    etag: value({ placeholder: 'ETAG', summary: 'Delete it only if it is still this one (one NAME only)', parse: parseEtag }),
    dryRun: flag({ summary: 'Check everything, change nothing' }),
    ...waitOption,
  },
  formats: [],
  connects: true,
  examples: [
    { says: 'One, and wait until its gateway says that it is gone', command: 'gwctl forward delete web --wait' },
    { says: 'Several', command: 'gwctl forward delete web dns games' },
  ],
  async run(context, { args, options }) {
    const { etag, dryRun, wait } = options;
    if (etag !== undefined && args.names.length > 1)
      throw CliError.usage([{ field: '--etag', description: 'fits one forward only; delete them one by one' }]);
    if (dryRun && wait !== undefined)
      throw CliError.usage([{ field: '--wait', description: 'has nothing to wait for with --dry-run; leave out one of them' }]);
    const controlPlane = await context.controlPlane();
    await forEachName(context, args.names, async (name) => {
      const revisions = await controlPlane.forwards.delete(name, { ...(etag === undefined ? {} : { etag }), dryRun });
      context.talk(`forward ${name} ${dryRun ? 'would be deleted (nothing was changed)' : 'deleted'}`);
      if (wait !== undefined) await waitForRemoval(context, controlPlane, name, revisions, wait);
    });
  },
});
