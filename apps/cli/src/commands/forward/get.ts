import { parseName } from '@gwctl/shared/domain/names';
import { argument, defineCommand } from '../../command/definition.js';
import { FORMATS } from '../../output/format.js';
import { describeForward } from '../../output/forward-description.js';
import { forwardView } from '../../output/forward-view.js';
import { printOne } from '../../output/view.js';

export const getForward = defineCommand({
  path: 'forward get',
  summary: 'Show a forward and how it stands on each gateway',
  description:
    'Says what is wanted, and for each gateway what its agent last reported: state, driver (and, where that is the relay, why), targets, whether the target sees the client address, traffic, drift, conditions, and the reasons of a refusal.',
  args: { name: argument({ placeholder: 'NAME', summary: 'Name of the forward', parse: parseName, complete: 'forwards' }) },
  options: {},
  formats: FORMATS,
  connects: true,
  examples: [
    { says: 'For people', command: 'gwctl forward get gitbucket-ssh' },
    { says: 'For programs', command: "gwctl forward get gitbucket-ssh -o json | jq '.status.placements[].state'" },
  ],
  async run(context, { args, output }) {
    const controlPlane = await context.controlPlane();
    const forward = await controlPlane.forwards.get(args.name);
    if (output) await printOne(context, forwardView, forward, output);
    else for (const line of describeForward(forward, context.clock.now())) context.print(line);
  },
});
