/** What `enable` and `disable` of forwards and egresses share. */
import { parseName } from '@gwctl/shared/domain/names';
import { defineCommand, manyArguments } from '../command/definition.js';
import { collectionOf, type EntryKind, plural } from '../context/control-plane.js';
import { forEachName } from '../errors/several.js';
import { waitOption } from '../flags/forward-flags.js';
import { waitInPlace } from '../wait/wait-in-place.js';

const CLAIM: Readonly<Record<EntryKind, string>> = { forward: 'listener', egress: 'sources' };
const EXAMPLE: Readonly<Record<EntryKind, string>> = { forward: 'web', egress: 'lan-out' };

export const switchCommand = (kind: EntryKind, enabled: boolean) => {
  const verb = enabled ? 'enable' : 'disable';
  const kinds = plural(kind);
  return defineCommand({
    path: `${kind} ${verb}`,
    summary: enabled ? `Put disabled ${kinds} in place again` : `Take ${kinds} off their gateways without deleting them`,
    description: enabled
      ? `What they claim (${CLAIM[kind]}) stayed theirs while they were disabled.`
      : `What is disabled keeps its ${CLAIM[kind]} and everything that was said about it; "gwctl ${kind} enable" brings it back.`,
    args: {
      names: manyArguments({ placeholder: 'NAME', summary: `Names of ${kinds}`, parse: parseName, complete: kinds }),
    },
    options: waitOption,
    formats: [],
    connects: true,
    examples: [{ says: `One, and wait until its gateway says so`, command: `gwctl ${kind} ${verb} ${EXAMPLE[kind]} --wait` }],
    async run(context, { args, options }) {
      const controlPlane = await context.controlPlane();
      const collection = collectionOf(controlPlane, kind);
      await forEachName(context, args.names, async (name) => {
        const result = await collection.update(name, { enabled }, { dryRun: false });
        context.talk(`${kind} ${name} ${verb}d`);
        if (options.wait !== undefined) await waitInPlace(context, controlPlane, collection, result, options.wait);
      });
    },
  });
};
