import { type ForwardSpec, parseNotes } from '@gwctl/shared/domain/forward';
import { parseInterface, parseName } from '@gwctl/shared/domain/names';
import { ViolationList } from '@gwctl/shared/domain/result';
import { argument, defineCommand, flag, list, type OptionValues, required, value } from '../../command/definition.js';
import { CliError } from '../../errors/cli-error.js';
import { checkParts, parseAllow, placingOf, placingOptions, policyOptions, waitOption } from '../../flags/forward-flags.js';
import { mergeLabels, parseLabel } from '../../flags/labels.js';
import { parseListen } from '../../flags/listen.js';
import { parseTarget } from '../../flags/target.js';
import { parseExpiry, resolveExpiry } from '../../flags/time.js';
import { FORMATS } from '../../output/format.js';
import { forwardSentence, forwardView } from '../../output/forward-view.js';
import { printOne } from '../../output/view.js';
import type { NewForward } from '../../resources/forward-input.js';
import { waitForForward } from '../../wait/wait-for-forward.js';

const options = {
  ...placingOptions,
  listen: required({
    placeholder: '[ADDR:]PORT[-PORT][/PROTO]',
    summary: 'Where traffic enters; PROTO is tcp (default), udp or tcp+udp. ADDR/all is 1:1 NAT of a whole address',
    parse: parseListen,
  }),
  target: list({
    placeholder: 'HOST[:PORT]',
    summary: "Where it goes; without a port, to the listener's own",
    parse: parseTarget,
    required: true,
  }),
  interface: value({ placeholder: 'IF', summary: 'Take traffic of this interface only', parse: parseInterface }),
  allow: list({ placeholder: 'CIDR|NAME', summary: 'Who may connect (default anyone)', parse: parseAllow }),
  ...policyOptions,
  expires: value({ placeholder: '8h|TIME', summary: 'When it ends by itself (default never)', parse: parseExpiry }),
  label: list({ placeholder: 'K=V', summary: 'A label', parse: parseLabel }),
  announce: flag({ summary: 'Answer ARP or NDP for a listener address that the gateway does not own' }),
  takeover: flag({ summary: 'Take the listener although a local socket of the gateway uses it' }),
  dryRun: flag({ summary: 'Check everything, change nothing' }),
  ...waitOption,
};

/** The forward that the flags describe, checked as a whole. */
export function newForward(name: string, o: OptionValues<typeof options>, now: number): NewForward {
  const bad = new ViolationList();
  const placing = placingOf(o);
  if (!placing.ok) bad.items.push(placing.error);
  else if (!placing.value) bad.add('spec.on', 'is missing; name the gateway, or a selector of gateways');
  const labels = bad.take('labels', mergeLabels(o.label));
  const expires = o.expires && bad.take('spec.expires', resolveExpiry(o.expires, now));
  const notes = parseNotes({ description: o.description ?? '', owner: o.owner ?? '' }, 'spec.');
  if (!notes.ok) bad.items.push(...notes.error);
  const traffic = checkParts({
    listen: { ...o.listen, interface: o.interface ?? '', announce: o.announce },
    targets: o.target.map((t) => ({ host: t.host, port: t.port ?? 0, weight: 1 })),
    allowSources: o.allow,
    snat: { mode: o.snat?.mode ?? 'auto', address: o.snat?.address ?? '' },
    driver: o.driver ?? 'auto',
    onChange: o.onChange ?? 'drain',
    expires,
    takeover: o.takeover,
  });
  if (!traffic.ok) bad.items.push(...traffic.error);
  if (o.dryRun && o.wait !== undefined) bad.add('--wait', 'has nothing to wait for with --dry-run; leave out one of them');
  if (bad.items.length > 0 || !traffic.ok || !notes.ok || !placing.ok || !placing.value || !labels)
    throw CliError.usage(bad.items, 'gwctl forward add --help');
  const spec: ForwardSpec = { ...traffic.value, ...notes.value, on: placing.value };
  return { name, labels, spec };
}

export const addForward = defineCommand({
  path: 'forward add',
  summary: 'Add a forward',
  description:
    'What arrives at the listener goes to the target. The control plane answers once the forward is stored; with --wait the command ends when the agent of every gateway says that it is in place. Not built yet, and refused: port ranges, tcp+udp, ADDR/all, several targets, DNS names, IPv6, --selector, --announce, --driver relay.',
  args: { name: argument({ placeholder: 'NAME', summary: 'Name of the forward, unique', parse: parseName }) },
  options,
  formats: FORMATS,
  connects: true,
  examples: [
    {
      says: "SSH of an inside host on the gateway's port 10022, for one network",
      command:
        'gwctl forward add gitbucket-ssh --gateway gw1 --listen 192.168.1.10:10022 --target 192.168.2.122:10022 --allow 192.168.1.0/24 --wait',
    },
    {
      says: "DNS over UDP on every address of the gateway, and the client's address kept",
      command: 'gwctl forward add dns --gateway gw1 --listen 53/udp --target 10.0.0.53 --snat none --wait',
    },
    {
      says: 'For eight hours, for one address on one interface; flows of a former target are ended',
      command:
        'gwctl forward add debug --gateway gw1 --listen 203.0.113.10:9229 --interface eth0 --target 10.0.1.24:9229 --allow 198.51.100.7 --expires 8h --on-change cut',
    },
    {
      says: 'Only check it',
      command: 'gwctl forward add web --gateway gw1 --listen 443 --target 10.0.1.24:8443 --dry-run',
    },
  ],
  async run(context, { args, options: o, output }) {
    const forward = newForward(args.name, o, context.clock.now());
    const controlPlane = await context.controlPlane();
    let result = await controlPlane.forwards.create(forward, { requestId: context.newId(), dryRun: o.dryRun });
    context.talk(
      `forward ${args.name} ${o.dryRun ? 'would be added (nothing was changed)' : 'added'}: ${forwardSentence(result)}`,
    );
    if (o.wait !== undefined) result = await waitForForward(context, controlPlane, result, o.wait);
    if (output) await printOne(context, forwardView, result, output);
  },
});
