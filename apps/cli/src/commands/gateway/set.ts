import { MAX_RESOLVERS, parseGatewaySettings, parseResolver } from '@gwctl/shared/domain/gateway-settings';
import { parseName } from '@gwctl/shared/domain/names';
import { ok, type Result, ViolationList } from '@gwctl/shared/domain/result';
import { argument, defineCommand, flag, list, type OptionValues, value } from '../../command/definition.js';
import { CliError } from '../../errors/cli-error.js';
import { parseChoice } from '../../flags/choice.js';
import { parseSeconds } from '../../flags/duration.js';
import { parseEtag } from '../../flags/etag.js';
import { FORMATS } from '../../output/format.js';
import { gatewayView, settingsSentence } from '../../output/gateway-view.js';
import { printOne } from '../../output/view.js';
import type { GatewayChanges } from '../../resources/gateway-input.js';

const POLICIES = ['repair', 'report'] as const;

/** Reads a time to live: whole seconds, or `default`, which is 0 on the wire. */
const parseTtl = (text: string): Result<number, string> => (text === 'default' ? ok(0) : parseSeconds(text));

const options = {
  drift: value({
    placeholder: POLICIES.join('|'),
    summary: 'When somebody changed its rules: repair them, or report it and leave them',
    parse: parseChoice(POLICIES, 'a drift policy'),
    complete: POLICIES,
  }),
  resolver: list({
    placeholder: 'ADDR[:PORT]',
    summary: `DNS server to ask, in place of all that there are; at most ${MAX_RESOLVERS}`,
    parse: parseResolver,
  }),
  hostResolvers: flag({ summary: "Ask the DNS servers of the gateway's own /etc/resolv.conf, as by default" }),
  dnsMinTtl: value({
    placeholder: 'DURATION|default',
    summary: 'Ask for a name again not sooner than this, whatever its TTL (default 5s, up to 1h)',
    parse: parseTtl,
  }),
  dnsMaxTtl: value({
    placeholder: 'DURATION|default',
    summary: 'Ask for a name again not later than this, whatever its TTL (default 5m, up to 24h)',
    parse: parseTtl,
  }),
  etag: value({ placeholder: 'ETAG', summary: 'Change it only if it is still this one (see gateway get)', parse: parseEtag }),
  dryRun: flag({ summary: 'Check everything, change nothing' }),
};

function changesOf(o: OptionValues<typeof options>): GatewayChanges {
  const bad = new ViolationList();
  const { drift, resolver, hostResolvers, dnsMinTtl, dnsMaxTtl } = o;
  if (hostResolvers && resolver.length > 0) bad.add('--host-resolvers', 'contradicts --resolver; give one of them');
  // What is not given may stand at any value, so floor and ceiling are compared only where both are.
  const parts = parseGatewaySettings(
    {
      driftPolicy: drift ?? 'repair',
      resolvers: resolver,
      dnsMinTtl: dnsMinTtl ?? (dnsMaxTtl ? 1 : 0),
      dnsMaxTtl: dnsMaxTtl ?? 0,
    },
    'settings.',
  );
  if (!parts.ok) bad.items.push(...parts.error);
  if (bad.items.length > 0) throw CliError.usage(bad.items, 'gwctl gateway set --help');
  return {
    ...(drift ? { driftPolicy: drift } : {}),
    ...(resolver.length > 0 || hostResolvers ? { resolvers: resolver } : {}),
    ...(dnsMinTtl === undefined ? {} : { dnsMinTtl }),
    ...(dnsMaxTtl === undefined ? {} : { dnsMaxTtl }),
  };
}

export const setGateway = defineCommand({
  path: 'gateway set',
  summary: 'Change what holds for all of a gateway: drift policy and DNS',
  description: 'Changes exactly what the flags name; everything else stays as it is. Its agent takes it up at once.',
  args: { name: argument({ placeholder: 'NAME', summary: 'Name of the gateway', parse: parseName, complete: 'gateways' }) },
  options,
  formats: FORMATS,
  connects: true,
  examples: [
    { says: 'Say when somebody changes rules, but leave them', command: 'gwctl gateway set gw1 --drift report' },
    {
      says: 'DNS servers of its own, asked at least every minute',
      command: 'gwctl gateway set gw1 --resolver 10.0.0.2 --resolver 10.0.0.3:5353 --dns-min-ttl 5s --dns-max-ttl 1m',
    },
    { says: 'Back to how it was', command: 'gwctl gateway set gw1 --drift repair --host-resolvers --dns-max-ttl default' },
  ],
  async run(context, { args, options: o, output }) {
    const changes = changesOf(o);
    if (Object.keys(changes).length === 0)
      throw new CliError({ kind: 'usage', message: 'nothing to change: no flag says what', hint: 'gwctl gateway set --help' });
    const controlPlane = await context.controlPlane();
    const { etag, dryRun } = o;
    const result = await controlPlane.gateways.update(args.name, changes, { ...(etag === undefined ? {} : { etag }), dryRun });
    context.talk(
      `gateway ${args.name} ${dryRun ? 'would be changed (nothing was changed)' : 'changed'}: ${settingsSentence(result)}`,
    );
    if (output) await printOne(context, gatewayView, result, output);
  },
});
