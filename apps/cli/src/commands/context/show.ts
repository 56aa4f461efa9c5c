import { parseName } from '@gwctl/shared/domain/names';
import { defineCommand, optionalArgument } from '../../command/definition.js';
import { chooseContext } from '../../context.js';
import { contextView, describeContext, withoutSecret } from '../../output/context-view.js';
import { FORMATS } from '../../output/format.js';
import { printOne } from '../../output/view.js';

export const showContext = defineCommand({
  path: 'context show',
  summary: 'Show a context, by default the one in use; its token is never shown',
  args: {
    name: optionalArgument({ placeholder: 'NAME', summary: 'Name of the context', parse: parseName, complete: 'contexts' }),
  },
  options: {},
  formats: FORMATS,
  connects: false,
  examples: [{ says: 'The one in use', command: 'gwctl context show' }],
  async run(context, { args, output }) {
    const stored = await chooseContext(context.config, args.name);
    const { current } = await context.config.read();
    const shown = withoutSecret(stored, current);
    if (output) await printOne(context, contextView, shown, output);
    else for (const line of describeContext(shown, context.config.path)) context.print(line);
  },
});
