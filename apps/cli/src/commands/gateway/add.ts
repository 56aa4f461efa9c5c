import { parseName } from '@gwctl/shared/domain/names';
import { argument, defineCommand, list } from '../../command/definition.js';
import { CliError } from '../../errors/cli-error.js';
import { toCliError } from '../../errors/render.js';
import { mergeLabels, parseLabel } from '../../flags/labels.js';
import { tokenOptions, tokenRequest } from '../../flags/token-flags.js';
import { printJoinString } from '../../output/join-string.js';

export const addGateway = defineCommand({
  path: 'gateway add',
  summary: 'Add a gateway and print the join string for its agent',
  description:
    'The join string is good for one agent, for a short time, and is printed alone on standard output. It holds a secret: hand it over on a way that you trust.',
  args: { name: argument({ placeholder: 'NAME', summary: 'Name of the gateway, unique', parse: parseName }) },
  options: {
    label: list({ placeholder: 'K=V', summary: 'A label', parse: parseLabel }),
    ...tokenOptions,
  },
  formats: [],
  connects: true,
  examples: [
    { says: 'A gateway with labels for selectors', command: 'gwctl gateway add gw1 --label site=tokyo --label tier=edge' },
    { says: 'Straight into a file for the agent', command: '(umask 077; gwctl gateway add gw1 > gw1.join)' },
  ],
  async run(context, { args, options }) {
    const labels = mergeLabels(options.label);
    if (!labels.ok) throw CliError.usage([{ field: 'labels', description: labels.error }]);
    const controlPlane = await context.controlPlane();
    await controlPlane.gateways.create(args.name, labels.value, { requestId: context.newId() });
    context.talk(`gateway ${args.name} added`);
    try {
      printJoinString(context, await controlPlane.gateways.createJoinToken(args.name, tokenRequest(options)));
    } catch (raw) {
      const error = toCliError(raw);
      throw new CliError({
        kind: error.kind === 'interrupted' ? 'interrupted' : 'partly',
        message: `the gateway is there, but it has no join string yet: ${error.message}`,
        details: error.details,
        hint: `gwctl gateway token ${args.name}`,
        cause: error,
      });
    }
  },
});
