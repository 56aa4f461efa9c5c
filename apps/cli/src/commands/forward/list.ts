import { parseName, parseText } from '@gwctl/shared/domain/names';
import type { PlacementStateWord } from '@gwctl/shared/domain/status';
import { defineCommand, list, value } from '../../command/definition.js';
import { CliError } from '../../errors/cli-error.js';
import { parseChoice } from '../../flags/choice.js';
import { mergeLabels, parseLabel } from '../../flags/labels.js';
import { listOptions } from '../../flags/list-flags.js';
import { FORMATS } from '../../output/format.js';
import { forwardView } from '../../output/forward-view.js';
import { printList, take } from '../../output/view.js';

const STATES: readonly PlacementStateWord[] = ['PENDING', 'ACTIVE', 'DEGRADED', 'REJECTED', 'EXPIRED', 'UNKNOWN', 'DISABLED'];

export const listForwards = defineCommand({
  path: 'forward list',
  summary: 'List forwards',
  description: 'Lists every forward that matches all of the flags. -o wide shows more columns, -o name one name on each line.',
  args: {},
  options: {
    gateway: value({ placeholder: 'GW', summary: 'Only those on this gateway', parse: parseName, complete: 'gateways' }),
    label: list({ placeholder: 'K=V', summary: 'Only those with this label', parse: parseLabel }),
    owner: value({ placeholder: 'OWNER', summary: 'Only those of this owner', parse: parseText }),
    state: value({
      placeholder: 'STATE',
      summary: `Only those with a placement in this state: ${STATES.join(', ')}`,
      parse: (text) => parseChoice(STATES, 'a state')(text.toUpperCase()),
      complete: STATES,
    }),
    ...listOptions,
  },
  formats: FORMATS,
  connects: true,
  examples: [
    { says: 'Everything', command: 'gwctl forward list' },
    { says: 'What a gateway refused', command: 'gwctl forward list --gateway gw1 --state REJECTED' },
    {
      says: 'Delete all forwards of a team',
      command: 'gwctl forward list --label team=web -o name | xargs gwctl forward delete',
    },
  ],
  async run(context, { options, output }) {
    const labels = mergeLabels(options.label);
    if (!labels.ok) throw CliError.usage([{ field: 'labels', description: labels.error }]);
    const controlPlane = await context.controlPlane();
    const { gateway, owner, state } = options;
    const filter = {
      labels: labels.value,
      ...(gateway === undefined ? {} : { gateway }),
      ...(owner === undefined ? {} : { owner }),
      ...(state === undefined ? {} : { state }),
    };
    const { items, more } = await take(controlPlane.forwards.list(filter), options.limit ?? 0);
    await printList(context, forwardView, items, {
      format: output,
      headers: !options.noHeaders,
      none: 'no forwards match; gwctl forward add makes one',
    });
    if (more) context.talk(`there are more than ${items.length}; raise --limit, or leave it out to see all`);
  },
});
