import { parseInterface, parseName } from '@gwctl/shared/domain/names';
import { ViolationList } from '@gwctl/shared/domain/result';
import { argument, defineCommand, flag, list, type OptionValues, value } from '../../command/definition.js';
import { CliError } from '../../errors/cli-error.js';
import { checkEgressParts, egressOptions, gatewayOf, parseNetwork } from '../../flags/egress-flags.js';
import { parseEtag } from '../../flags/etag.js';
import { waitOption } from '../../flags/forward-flags.js';
import { parseLabelChange } from '../../flags/labels.js';
import { egressSentence, egressView } from '../../output/egress-view.js';
import { FORMATS } from '../../output/format.js';
import { printOne } from '../../output/view.js';
import type { EgressChanges } from '../../resources/egress-input.js';
import { waitInPlace } from '../../wait/wait-in-place.js';
import { update } from '../update.js';

const options = {
  gateway: value(gatewayOf),
  source: list({ placeholder: 'CIDR', summary: 'Networks that are inside, in place of all that there are', parse: parseNetwork }),
  outInterface: value({ placeholder: 'IF', summary: 'Interface through which the traffic leaves', parse: parseInterface }),
  except: list({
    placeholder: 'CIDR',
    summary: 'Destinations that see the inside source, in place of all',
    parse: parseNetwork,
  }),
  noExcept: flag({ summary: 'No destination sees the inside source' }),
  ...egressOptions,
  label: list({ placeholder: 'K=V|K-', summary: 'Set a label, or remove it', parse: parseLabelChange }),
  etag: value({ placeholder: 'ETAG', summary: 'Change it only if it is still this one (see egress get)', parse: parseEtag }),
  dryRun: flag({ summary: 'Check everything, change nothing' }),
  ...waitOption,
};

/** What the flags change, labels apart: nothing else is touched. */
function changesOf(o: OptionValues<typeof options>): EgressChanges {
  const bad = new ViolationList();
  if (o.noExcept && o.except.length > 0) bad.add('--no-except', 'contradicts --except; give one of them');
  if (o.dryRun && o.wait !== undefined) bad.add('--wait', 'has nothing to wait for with --dry-run; leave out one of them');
  const { snat, source, except, outInterface } = o;
  const parts = checkEgressParts({
    ...(source.length > 0 ? { sources: source } : {}),
    ...(outInterface === undefined ? {} : { outInterface }),
    ...(snat ? { snat: { mode: snat.mode, address: snat.address ?? '' } } : {}),
    exceptDestinations: except,
  });
  if (!parts.ok) bad.items.push(...parts.error);
  if (bad.items.length > 0) throw CliError.usage(bad.items, 'gwctl egress set --help');
  return {
    ...(o.description === undefined ? {} : { description: o.description }),
    ...(o.owner === undefined ? {} : { owner: o.owner }),
    ...(o.gateway === undefined ? {} : { gateway: o.gateway }),
    ...(source.length > 0 ? { sources: source } : {}),
    ...(outInterface === undefined ? {} : { outInterface }),
    ...(snat ? { snat } : {}),
    ...(except.length > 0 || o.noExcept ? { exceptDestinations: except } : {}),
  };
}

export const setEgress = defineCommand({
  path: 'egress set',
  summary: 'Change an egress',
  description: 'Changes exactly what the flags name; everything else stays as it is.',
  args: { name: argument({ placeholder: 'NAME', summary: 'Name of the egress', parse: parseName, complete: 'egresses' }) },
  options,
  formats: FORMATS,
  connects: true,
  examples: [
    { says: 'Other sources, and wait for it', command: 'gwctl egress set lan-out --source 10.0.0.0/15 --wait' },
    { says: 'A fixed address from now on', command: 'gwctl egress set lan-out --snat 203.0.113.10' },
    { says: 'Only if nobody changed it since', command: 'gwctl egress set lan-out --etag ETAG --owner net-team' },
  ],
  async run(context, { args, options: o, output }) {
    const changes = changesOf(o);
    const controlPlane = await context.controlPlane();
    const { etag, dryRun, label } = o;
    let result = await update(controlPlane.egresses, 'egress', args.name, changes, { labels: label, etag, dryRun });
    context.talk(
      `egress ${args.name} ${dryRun ? 'would be changed (nothing was changed)' : 'changed'}: ${egressSentence(result)}`,
    );
    if (o.wait !== undefined) result = await waitInPlace(context, controlPlane, controlPlane.egresses, result, o.wait);
    if (output) await printOne(context, egressView, result, output);
  },
});
