import { defineCommand, list } from '../../command/definition.js';
import { CliError } from '../../errors/cli-error.js';
import { mergeLabels, parseLabel } from '../../flags/labels.js';
import { listOptions } from '../../flags/list-flags.js';
import { FORMATS } from '../../output/format.js';
import { gatewayView } from '../../output/gateway-view.js';
import { printList, take } from '../../output/view.js';

export const listGateways = defineCommand({
  path: 'gateway list',
  summary: 'List gateways',
  description: 'REVISION is what the agent has applied, "15 of 17" while it is behind what is wanted.',
  args: {},
  options: { label: list({ placeholder: 'K=V', summary: 'Only those with this label', parse: parseLabel }), ...listOptions },
  formats: FORMATS,
  connects: true,
  examples: [
    { says: 'Everything', command: 'gwctl gateway list -o wide' },
    { says: 'Those of one site', command: 'gwctl gateway list --label site=tokyo' },
  ],
  async run(context, { options, output }) {
    const labels = mergeLabels(options.label);
    if (!labels.ok) throw CliError.usage([{ field: 'labels', description: labels.error }]);
    const controlPlane = await context.controlPlane();
    const { items, more } = await take(controlPlane.gateways.list(labels.value), options.limit ?? 0);
    await printList(context, gatewayView, items, {
      format: output,
      headers: !options.noHeaders,
      none: 'no gateways match; gwctl gateway add makes one',
    });
    if (more) context.talk(`there are more than ${items.length}; raise --limit, or leave it out to see all`);
  },
});
