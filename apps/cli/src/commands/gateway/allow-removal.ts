import { parseName } from '@gwctl/shared/domain/names';
import { err, ok, quote, type Result } from '@gwctl/shared/domain/result';
import { argument, defineCommand, value } from '../../command/definition.js';
import { CliError } from '../../errors/cli-error.js';
import type { GatewayResource } from '../../resources/gateway.js';

/** The reason by which an agent says that it holds a desired state back. */
const HELD_BACK = 'PENDING_MASS_DELETE';

export const parseRevision = (text: string): Result<number, string> =>
  /^\d{1,15}$/.test(text)
    ? ok(Number(text))
    : err(`${quote(text)} is not a revision; write the whole number that gateway get shows`);

export const allowRemoval = defineCommand({
  path: 'gateway allow-removal',
  summary: 'Let an agent take a change that removes many of its forwards',
  description:
    'After a restore or a mistake, a desired state may lack much of what a gateway carries. Its agent holds back one that would remove more than 30 % of its forwards and more than 10, and goes on with what it has; gateway get shows it as a condition. This says that the removal is meant. It counts for one revision of the gateway only.',
  args: { name: argument({ placeholder: 'NAME', summary: 'Name of the gateway', parse: parseName, complete: 'gateways' }) },
  options: {
    revision: value({
      placeholder: 'N',
      summary: 'Revision whose removals are meant (default the present one, where the agent holds it back)',
      parse: parseRevision,
    }),
  },
  formats: [],
  connects: true,
  examples: [
    { says: 'What the agent holds back now', command: 'gwctl gateway allow-removal gw1' },
    { says: 'Before the agent has connected again', command: 'gwctl gateway allow-removal gw1 --revision 17' },
  ],
  async run(context, { args, options }) {
    const controlPlane = await context.controlPlane();
    const revision = options.revision ?? heldRevision(await controlPlane.gateways.get(args.name));
    await controlPlane.gateways.allowMassRemoval(args.name, revision);
    context.talk(`gateway ${args.name} may remove what revision ${revision} removes`);
  },
});

function heldRevision({ metadata, status }: GatewayResource): number {
  if (status.conditions.some((c) => c.reason === HELD_BACK && c.status === 'false')) return status.revision;
  throw new CliError({
    kind: 'conflict',
    message: `the agent of gateway ${metadata.name} holds nothing back, as far as it has said`,
    hint: `to allow it beforehand: gwctl gateway allow-removal ${metadata.name} --revision ${status.revision}`,
  });
}
