import { parseName } from '@gwctl/shared/domain/names';
import { argument, defineCommand, required } from '../../command/definition.js';
import { CliError } from '../../errors/cli-error.js';
import { formatTime, parseExpiry, resolveExpiry } from '../../flags/time.js';
import { FORMATS } from '../../output/format.js';
import { forwardView } from '../../output/forward-view.js';
import { printOne } from '../../output/view.js';

export const extendForward = defineCommand({
  path: 'forward extend',
  summary: 'Let a forward that expires live longer',
  description: 'Only ever makes it later; "gwctl forward set --expires" also shortens, or lifts the expiry.',
  args: { name: argument({ placeholder: 'NAME', summary: 'Name of the forward', parse: parseName, complete: 'forwards' }) },
  options: {
    expires: required({
      placeholder: '8h|TIME',
      summary: 'The new end: so long from now, or a point in time',
      parse: parseExpiry,
    }),
  },
  formats: FORMATS,
  connects: true,
  examples: [
    { says: 'Eight hours from now', command: 'gwctl forward extend games --expires 8h' },
    { says: 'Until a day', command: 'gwctl forward extend games --expires 2026-12-01T00:00:00Z' },
  ],
  async run(context, { args, options, output }) {
    const expires = resolveExpiry(options.expires, context.clock.now());
    if (!expires.ok || expires.value === undefined)
      throw CliError.usage([{ field: '--expires', description: expires.ok ? 'names no end' : expires.error }]);
    const controlPlane = await context.controlPlane();
    const { metadata, spec } = await controlPlane.forwards.get(args.name);
    if (spec.expires === undefined)
      throw new CliError({
        kind: 'conflict',
        message: `forward ${args.name} does not expire, so there is nothing to extend`,
        hint: `to let it expire: gwctl forward set ${args.name} --expires ...`,
      });
    if (expires.value <= Date.parse(spec.expires))
      throw new CliError({
        kind: 'conflict',
        message: `forward ${args.name} expires at ${spec.expires} already, which is not before ${formatTime(expires.value)}`,
        hint: `to shorten it: gwctl forward set ${args.name} --expires ...`,
      });
    // Under the etag that was read: somebody may have made it later still meanwhile.
    const result = await controlPlane.forwards.update(
      args.name,
      { expires: expires.value },
      { ...(metadata.etag === undefined ? {} : { etag: metadata.etag }), dryRun: false },
    );
    context.talk(`forward ${args.name} expires at ${result.spec.expires ?? 'no time'} (was ${spec.expires})`);
    if (output) await printOne(context, forwardView, result, output);
  },
});
