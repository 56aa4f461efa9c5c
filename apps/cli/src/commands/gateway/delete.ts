import { parseName } from '@gwctl/shared/domain/names';
import { defineCommand, manyArguments, value } from '../../command/definition.js';
import { CliError } from '../../errors/cli-error.js';
import { forEachName } from '../../errors/several.js';
import { parseEtag } from '../../flags/etag.js';

export const deleteGateway = defineCommand({
  path: 'gateway delete',
  summary: 'Delete gateways that carry nothing',
  description:
    'Its agent is no longer let in. Forwards and egresses that are placed on it must be deleted or moved first. What the agent made on the host is taken away there, with gwctl-agent cleanup.',
  args: {
    names: manyArguments({ placeholder: 'NAME', summary: 'Names of gateways', parse: parseName, complete: 'gateways' }),
  },
  options: {
    etag: value({ placeholder: 'ETAG', summary: 'Delete it only if it is still this one (one NAME only)', parse: parseEtag }),
  },
  formats: [],
  connects: true,
  examples: [{ says: 'One', command: 'gwctl gateway delete gw1' }],
  async run(context, { args, options }) {
    const { etag } = options;
    if (etag !== undefined && args.names.length > 1)
      throw CliError.usage([{ field: '--etag', description: 'fits one gateway only; delete them one by one' }]);
    const controlPlane = await context.controlPlane();
    await forEachName(context, args.names, async (name) => {
      await controlPlane.gateways.delete(name, etag === undefined ? {} : { etag });
      context.talk(`gateway ${name} deleted`);
    });
  },
});
