import { parseName } from '@gwctl/shared/domain/names';
import { AppError } from '@gwctl/shared/errors/app-error';
import { argument, defineCommand, manyArguments } from '../../command/definition.js';
import type { ControlPlane } from '../../context/control-plane.js';
import { CliError } from '../../errors/cli-error.js';
import { changeLabels, formatLabels, type LabelChange, parseLabelChange } from '../../flags/labels.js';
import type { GatewayResource } from '../../resources/gateway.js';

/** How often labels are merged anew when somebody else changed the gateway in between. */
const ATTEMPTS = 3;

export const labelGateway = defineCommand({
  path: 'gateway label',
  summary: 'Set and remove labels of a gateway',
  description: 'Forwards with a selector follow: they come to gateways that match now and leave those that no longer do.',
  args: {
    name: argument({ placeholder: 'NAME', summary: 'Name of the gateway', parse: parseName, complete: 'gateways' }),
    changes: manyArguments({ placeholder: 'K=V|K-', summary: 'K=V sets a label, K- removes it', parse: parseLabelChange }),
  },
  options: {},
  formats: [],
  connects: true,
  examples: [{ says: 'Set one, remove one', command: 'gwctl gateway label gw1 site=osaka old-' }],
  async run(context, { args }) {
    const controlPlane = await context.controlPlane();
    const gateway = await relabel(controlPlane, args.name, args.changes);
    context.talk(`gateway ${args.name} labels: ${formatLabels(gateway.metadata.labels) || 'none'}`);
  },
});

/** Labels travel as a whole, so they are read, changed and written back under the etag that was read. */
async function relabel(controlPlane: ControlPlane, name: string, changes: readonly LabelChange[]): Promise<GatewayResource> {
  for (let attempt = 1; ; attempt++) {
    const { metadata } = await controlPlane.gateways.get(name);
    const labels = changeLabels(metadata.labels, changes);
    if (!labels.ok) throw CliError.usage([{ field: 'labels', description: labels.error }]);
    try {
      return await controlPlane.gateways.setLabels(name, labels.value, metadata.etag ?? '');
    } catch (error) {
      if (!(error instanceof AppError && error.code === 'ABORTED') || attempt === ATTEMPTS) throw error;
    }
  }
}
