import { parseNotes } from '@gwctl/shared/domain/forward';
import { parseInterface, parseName } from '@gwctl/shared/domain/names';
import { ViolationList } from '@gwctl/shared/domain/result';
import { argument, defineCommand, flag, list, type OptionValues, required } from '../../command/definition.js';
import { CliError } from '../../errors/cli-error.js';
import { checkEgressParts, egressOptions, gatewayOf, parseNetwork } from '../../flags/egress-flags.js';
import { waitOption } from '../../flags/forward-flags.js';
import { mergeLabels, parseLabel } from '../../flags/labels.js';
import { egressSentence, egressView } from '../../output/egress-view.js';
import { FORMATS } from '../../output/format.js';
import { printOne } from '../../output/view.js';
import type { NewEgress } from '../../resources/egress-input.js';
import { waitInPlace } from '../../wait/wait-in-place.js';

const options = {
  gateway: required(gatewayOf),
  source: list({ placeholder: 'CIDR', summary: 'Network that is inside', parse: parseNetwork, required: true }),
  outInterface: required({
    placeholder: 'IF',
    summary: 'Interface of the gateway through which the traffic leaves',
    parse: parseInterface,
  }),
  except: list({
    placeholder: 'CIDR',
    summary: 'Destination that sees the inside source, for instance a network behind a VPN',
    parse: parseNetwork,
  }),
  ...egressOptions,
  label: list({ placeholder: 'K=V', summary: 'A label', parse: parseLabel }),
  dryRun: flag({ summary: 'Check everything, change nothing' }),
  ...waitOption,
};

/** The egress that the flags describe, checked as a whole. */
export function newEgress(name: string, o: OptionValues<typeof options>): NewEgress {
  const bad = new ViolationList();
  const labels = bad.take('labels', mergeLabels(o.label));
  const notes = parseNotes({ description: o.description ?? '', owner: o.owner ?? '' }, 'spec.');
  if (!notes.ok) bad.items.push(...notes.error);
  const spec = checkEgressParts({
    sources: o.source,
    outInterface: o.outInterface,
    snat: { mode: o.snat?.mode ?? 'masquerade', address: o.snat?.address ?? '' },
    exceptDestinations: o.except,
  });
  if (!spec.ok) bad.items.push(...spec.error);
  if (o.dryRun && o.wait !== undefined) bad.add('--wait', 'has nothing to wait for with --dry-run; leave out one of them');
  if (bad.items.length > 0 || !spec.ok || !notes.ok || !labels) throw CliError.usage(bad.items, 'gwctl egress add --help');
  return { name, labels, gateway: o.gateway, ...notes.value, spec: spec.value };
}

export const addEgress = defineCommand({
  path: 'egress add',
  summary: 'Add an egress',
  description:
    'What leaves from the sources through the interface gets an outside source address; answers find their way back. Multicast, the sources themselves and what --except names are left as they are. With --wait the command ends when the agent says that it is in place.',
  args: { name: argument({ placeholder: 'NAME', summary: 'Name of the egress, unique among egresses', parse: parseName }) },
  options,
  formats: FORMATS,
  connects: true,
  examples: [
    {
      says: 'Let an inside network reach the internet',
      command: 'gwctl egress add lan-out --gateway gw1 --source 10.0.0.0/16 --out-interface eth0 --wait',
    },
    {
      says: 'From a fixed address, but not towards the VPN',
      command:
        'gwctl egress add office-out --gateway gw1 --source 10.1.0.0/24 --source 10.2.0.0/24 --out-interface eth0 --snat 203.0.113.10 --except 172.16.0.0/12',
    },
  ],
  async run(context, { args, options: o, output }) {
    const egress = newEgress(args.name, o);
    const controlPlane = await context.controlPlane();
    let result = await controlPlane.egresses.create(egress, { requestId: context.newId(), dryRun: o.dryRun });
    context.talk(`egress ${args.name} ${o.dryRun ? 'would be added (nothing was changed)' : 'added'}: ${egressSentence(result)}`);
    if (o.wait !== undefined) result = await waitInPlace(context, controlPlane, controlPlane.egresses, result, o.wait);
    if (output) await printOne(context, egressView, result, output);
  },
});
