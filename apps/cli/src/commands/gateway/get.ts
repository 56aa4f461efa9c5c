import { parseName } from '@gwctl/shared/domain/names';
import { argument, defineCommand } from '../../command/definition.js';
import { FORMATS } from '../../output/format.js';
import { describeGateway, gatewayView } from '../../output/gateway-view.js';
import { printOne } from '../../output/view.js';

export const getGateway = defineCommand({
  path: 'gateway get',
  summary: 'Show a gateway: its agent, revisions, capabilities and conditions',
  args: { name: argument({ placeholder: 'NAME', summary: 'Name of the gateway', parse: parseName, complete: 'gateways' }) },
  options: {},
  formats: FORMATS,
  connects: true,
  examples: [{ says: 'For people', command: 'gwctl gateway get gw1' }],
  async run(context, { args, output }) {
    const controlPlane = await context.controlPlane();
    const gateway = await controlPlane.gateways.get(args.name);
    if (output) await printOne(context, gatewayView, gateway, output);
    else for (const line of describeGateway(gateway, context.clock.now())) context.print(line);
  },
});
