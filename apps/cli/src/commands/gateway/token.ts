import { parseName } from '@gwctl/shared/domain/names';
import { argument, defineCommand } from '../../command/definition.js';
import { tokenOptions, tokenRequest } from '../../flags/token-flags.js';
import { printJoinString } from '../../output/join-string.js';

export const gatewayToken = defineCommand({
  path: 'gateway token',
  summary: 'Print a new join string for a gateway',
  description: 'For a gateway whose join string was lost or has expired, or whose agent must join again.',
  args: { name: argument({ placeholder: 'NAME', summary: 'Name of the gateway', parse: parseName, complete: 'gateways' }) },
  options: tokenOptions,
  formats: [],
  connects: true,
  examples: [
    {
      says: 'Good for an hour, from one network only',
      command: 'gwctl gateway token gw1 --token-ttl 1h --token-source 10.0.0.0/8',
    },
  ],
  async run(context, { args, options }) {
    const controlPlane = await context.controlPlane();
    printJoinString(context, await controlPlane.gateways.createJoinToken(args.name, tokenRequest(options)));
  },
});
