import { parseName } from '@gwctl/shared/domain/names';
import { argument, defineCommand } from '../../command/definition.js';
import { chooseContext } from '../../context.js';

export const deleteContext = defineCommand({
  path: 'context delete',
  summary: 'Forget a control plane and the token for it',
  description: 'The control plane itself is not asked: the token stays good there until it expires or is revoked.',
  args: { name: argument({ placeholder: 'NAME', summary: 'Name of the context', parse: parseName, complete: 'contexts' }) },
  options: {},
  formats: [],
  connects: false,
  examples: [{ says: 'One', command: 'gwctl context delete lab' }],
  async run(context, { args }) {
    await chooseContext(context.config, args.name);
    const { contexts, current } = await context.config.read();
    const left = contexts.filter((c) => c.name !== args.name);
    await context.config.write({ contexts: left, ...(current === undefined || current === args.name ? {} : { current }) });
    context.talk(`context ${args.name} deleted`);
    if (current === args.name && left.length > 0) context.talk('no context is in use now; choose one: gwctl context use NAME');
  },
});
