import { parseName } from '@gwctl/shared/domain/names';
import { defineCommand, value } from '../command/definition.js';
import { CliError } from '../errors/cli-error.js';
import { listOptions } from '../flags/list-flags.js';
import { parseLimit } from '../flags/number.js';
import { eventView } from '../output/event-view.js';
import { FORMATS } from '../output/format.js';
import { printList, take } from '../output/view.js';

/** Events pile up for as long as they are kept; the newest are what is asked for. */
const DEFAULT_LIMIT = 100;

export const events = defineCommand({
  path: 'events',
  summary: 'List what agents and the control plane noticed, newest first',
  description: 'Drift and its repair with the cause, refusals, sessions that began and ended.',
  args: {},
  options: {
    forward: value({ placeholder: 'NAME', summary: 'Only those of this forward', parse: parseName, complete: 'forwards' }),
    egress: value({ placeholder: 'NAME', summary: 'Only those of this egress', parse: parseName, complete: 'egresses' }),
    gateway: value({ placeholder: 'GW', summary: 'Only those of this gateway', parse: parseName, complete: 'gateways' }),
    ...listOptions,
    limit: value({
      placeholder: 'N',
      summary: `Show at most so many, 0 for all (default ${DEFAULT_LIMIT})`,
      parse: parseLimit,
    }),
  },
  formats: FORMATS,
  connects: true,
  examples: [
    { says: 'The newest', command: 'gwctl events' },
    { says: 'What happened to one forward', command: 'gwctl events --forward gitbucket-ssh --limit 0' },
  ],
  async run(context, { options, output }) {
    const { forward, egress, gateway, limit = DEFAULT_LIMIT } = options;
    if (forward !== undefined && egress !== undefined)
      throw CliError.usage([
        { field: '--egress', description: 'an event is of a forward or of an egress; leave out one of them' },
      ]);
    const controlPlane = await context.controlPlane();
    const filter = {
      ...(forward === undefined ? {} : { forward }),
      ...(egress === undefined ? {} : { egress }),
      ...(gateway === undefined ? {} : { gateway }),
    };
    const { items, more } = await take(controlPlane.events.list(filter), limit);
    await printList(context, eventView, items, { format: output, headers: !options.noHeaders, none: 'no events match' });
    if (more) context.talk(`these are the newest ${items.length}; raise --limit to see older ones`);
  },
});
