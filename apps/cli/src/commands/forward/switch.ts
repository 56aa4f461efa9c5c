/** What `forward enable` and `forward disable` share. */
import { parseName } from '@gwctl/shared/domain/names';
import { defineCommand, manyArguments } from '../../command/definition.js';
import { forEachName } from '../../errors/several.js';
import { waitOption } from '../../flags/forward-flags.js';
import { waitForForward } from '../../wait/wait-for-forward.js';

export const switchCommand = (enabled: boolean) => {
  const verb = enabled ? 'enable' : 'disable';
  return defineCommand({
    path: `forward ${verb}`,
    summary: enabled ? 'Put disabled forwards in place again' : 'Take forwards off their gateways without deleting them',
    description: enabled
      ? 'Their listeners stayed theirs while they were disabled.'
      : 'A disabled forward keeps its listener and everything that was said about it; "gwctl forward enable" brings it back.',
    args: {
      names: manyArguments({ placeholder: 'NAME', summary: 'Names of forwards', parse: parseName, complete: 'forwards' }),
    },
    options: waitOption,
    formats: [],
    connects: true,
    examples: [{ says: `One, and wait until its gateway says so`, command: `gwctl forward ${verb} web --wait` }],
    async run(context, { args, options }) {
      const controlPlane = await context.controlPlane();
      await forEachName(context, args.names, async (name) => {
        const result = await controlPlane.forwards.update(name, { enabled }, { dryRun: false });
        context.talk(`forward ${name} ${verb}d`);
        if (options.wait !== undefined) await waitForForward(context, controlPlane, result, options.wait);
      });
    },
  });
};
