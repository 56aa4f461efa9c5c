import { parseName } from '@gwctl/shared/domain/names';
import { argument, defineCommand } from '../../command/definition.js';
import { describeEgress } from '../../output/egress-description.js';
import { egressView } from '../../output/egress-view.js';
import { FORMATS } from '../../output/format.js';
import { printOne } from '../../output/view.js';

export const getEgress = defineCommand({
  path: 'egress get',
  summary: 'Show an egress and how it stands on its gateway',
  description:
    'Says what is wanted, and what the agent last reported: state, driver, traffic, drift, conditions, and the reasons of a refusal.',
  args: { name: argument({ placeholder: 'NAME', summary: 'Name of the egress', parse: parseName, complete: 'egresses' }) },
  options: {},
  formats: FORMATS,
  connects: true,
  examples: [
    { says: 'For people', command: 'gwctl egress get lan-out' },
    { says: 'For programs', command: "gwctl egress get lan-out -o json | jq '.status.placements[].state'" },
  ],
  async run(context, { args, output }) {
    const controlPlane = await context.controlPlane();
    const egress = await controlPlane.egresses.get(args.name);
    if (output) await printOne(context, egressView, egress, output);
    else for (const line of describeEgress(egress, context.clock.now())) context.print(line);
  },
});
