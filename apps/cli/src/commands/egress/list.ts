import { parseName } from '@gwctl/shared/domain/names';
import { defineCommand, list, value } from '../../command/definition.js';
import { CliError } from '../../errors/cli-error.js';
import { mergeLabels, parseLabel } from '../../flags/labels.js';
import { listOptions } from '../../flags/list-flags.js';
import { egressView } from '../../output/egress-view.js';
import { FORMATS } from '../../output/format.js';
import { printList, take } from '../../output/view.js';

export const listEgresses = defineCommand({
  path: 'egress list',
  summary: 'List egresses',
  description: 'Lists every egress that matches all of the flags. -o wide shows more columns, -o name one name on each line.',
  args: {},
  options: {
    gateway: value({ placeholder: 'GW', summary: 'Only those on this gateway', parse: parseName, complete: 'gateways' }),
    label: list({ placeholder: 'K=V', summary: 'Only those with this label', parse: parseLabel }),
    ...listOptions,
  },
  formats: FORMATS,
  connects: true,
  examples: [
    { says: 'Everything', command: 'gwctl egress list' },
    { says: 'What leaves through a gateway, with its traffic', command: 'gwctl egress list --gateway gw1 -o wide' },
  ],
  async run(context, { options, output }) {
    const labels = mergeLabels(options.label);
    if (!labels.ok) throw CliError.usage([{ field: 'labels', description: labels.error }]);
    const controlPlane = await context.controlPlane();
    const { gateway, limit = 0, noHeaders } = options;
    const filter = { labels: labels.value, ...(gateway === undefined ? {} : { gateway }) };
    const { items, more } = await take(controlPlane.egresses.list(filter), limit);
    const none = 'no egresses match; gwctl egress add makes one';
    await printList(context, egressView, items, { format: output, headers: !noHeaders, none });
    if (more) context.talk(`there are more than ${limit}; raise --limit to see them`);
  },
});
