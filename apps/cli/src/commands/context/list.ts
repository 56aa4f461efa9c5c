import { defineCommand, flag } from '../../command/definition.js';
import { contextView, withoutSecret } from '../../output/context-view.js';
import { FORMATS } from '../../output/format.js';
import { printList } from '../../output/view.js';

export const listContexts = defineCommand({
  path: 'context list',
  summary: 'List the control planes that you are logged in to',
  args: {},
  options: { noHeaders: flag({ summary: 'Leave out the line of column titles' }) },
  formats: FORMATS,
  connects: false,
  examples: [{ says: 'All of them', command: 'gwctl context list' }],
  async run(context, { options, output }) {
    const { contexts, current } = await context.config.read();
    const items = contexts.map((c) => withoutSecret(c, current));
    await printList(context, contextView, items, {
      format: output,
      headers: !options.noHeaders,
      none: 'no contexts; gwctl login makes one',
    });
  },
});
