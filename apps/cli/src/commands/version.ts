import { VERSION } from '@gwctl/shared/version';
import { defineCommand } from '../command/definition.js';
import { toJson, toYaml } from '../output/documents.js';

export const version = defineCommand({
  path: 'version',
  summary: 'Print the version of gwctl',
  description: 'Calls nobody; "gwctl status" shows the version of the control plane.',
  args: {},
  options: {},
  formats: ['table', 'json', 'yaml'],
  connects: false,
  examples: [{ says: 'For programs', command: 'gwctl version -o json' }],
  async run(context, { output }) {
    const document = { version: VERSION };
    if (output === 'json') context.printDocument(toJson(document));
    else if (output === 'yaml') context.printDocument(await toYaml([document]));
    else context.print(`gwctl ${VERSION}`);
  },
});
