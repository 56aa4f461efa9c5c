import { parseName } from '@gwctl/shared/domain/names';
import { argument, defineCommand } from '../../command/definition.js';
import { chooseContext } from '../../context.js';

export const useContext = defineCommand({
  path: 'context use',
  summary: 'Choose the control plane that commands speak to',
  args: { name: argument({ placeholder: 'NAME', summary: 'Name of the context', parse: parseName, complete: 'contexts' }) },
  options: {},
  formats: [],
  connects: false,
  examples: [{ says: 'From now on', command: 'gwctl context use lab' }],
  async run(context, { args }) {
    const { server } = await chooseContext(context.config, args.name);
    const config = await context.config.read();
    await context.config.write({ ...config, current: args.name });
    context.talk(`using context ${args.name} (${server})`);
  },
});
