/** What `gateway cordon` and `gateway uncordon` share. */
import { parseName } from '@gwctl/shared/domain/names';
import { defineCommand, manyArguments } from '../../command/definition.js';
import { forEachName } from '../../errors/several.js';

export const cordonCommand = (cordoned: boolean) => {
  const verb = cordoned ? 'cordon' : 'uncordon';
  return defineCommand({
    path: `gateway ${verb}`,
    summary: cordoned ? 'Let gateways take no changes until uncordoned' : 'Let gateways take changes again',
    description: cordoned
      ? 'What is on them stays in place and goes on serving; edits wait.'
      : 'What was edited meanwhile reaches them now.',
    args: {
      names: manyArguments({ placeholder: 'NAME', summary: 'Names of gateways', parse: parseName, complete: 'gateways' }),
    },
    options: {},
    formats: [],
    connects: true,
    examples: [{ says: 'One', command: `gwctl gateway ${verb} gw1` }],
    async run(context, { args }) {
      const controlPlane = await context.controlPlane();
      await forEachName(context, args.names, async (name) => {
        await controlPlane.gateways.setCordoned(name, cordoned);
        context.talk(`gateway ${name} ${verb}ed`);
      });
    },
  });
};
