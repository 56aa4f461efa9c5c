import { carrierViolations } from '@gwctl/shared/domain/carriers';
import { type ForwardSpec, parseNotes } from '@gwctl/shared/domain/forward';
import { parseInterface, parseName } from '@gwctl/shared/domain/names';
import { ViolationList } from '@gwctl/shared/domain/result';
import { argument, defineCommand, flag, list, type OptionValues, required, value } from '../../command/definition.js';
import { CliError } from '../../errors/cli-error.js';
import {
  CLAMP_MSS,
  checkParts,
  parseAllow,
  placingOf,
  placingOptions,
  policyOptions,
  waitOption,
} from '../../flags/forward-flags.js';
import { mergeLabels, parseLabel } from '../../flags/labels.js';
import { parseListen } from '../../flags/listen.js';
import { relayOf, relayOptions } from '../../flags/relay.js';
import { parseTarget, rawTarget } from '../../flags/target.js';
import { parseExpiry, resolveExpiry } from '../../flags/time.js';
import { FORMATS } from '../../output/format.js';
import { forwardSentence, forwardView } from '../../output/forward-view.js';
import { printOne } from '../../output/view.js';
import type { NewForward } from '../../resources/forward-input.js';
import { waitInPlace } from '../../wait/wait-in-place.js';

const options = {
  ...placingOptions,
  listen: required({
    placeholder: '[ADDR:]PORT[-PORT][/PROTO]',
    summary:
      'Where traffic enters; without ADDR, at every address of the gateway. PROTO is tcp (default), udp or tcp+udp. ADDR/all is 1:1 NAT of a whole address. IPv6 in brackets',
    parse: parseListen,
  }),
  target: list({
    placeholder: 'HOST[:PORT][,weight=N]',
    summary: "Where it goes: an address or a DNS name; without a port, to the listener's own. N is its share among several",
    parse: parseTarget,
    required: true,
  }),
  interface: value({ placeholder: 'IF', summary: 'Take traffic of this interface only', parse: parseInterface }),
  allow: list({ placeholder: 'CIDR|NAME', summary: 'Who may connect (default anyone)', parse: parseAllow }),
  ...policyOptions,
  ...relayOptions,
  expires: value({ placeholder: '8h|TIME', summary: 'When it ends by itself (default never)', parse: parseExpiry }),
  label: list({ placeholder: 'K=V', summary: 'A label', parse: parseLabel }),
  clampMss: flag({ summary: CLAMP_MSS }),
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
    targets: o.target.map(rawTarget),
    allowSources: o.allow,
    snat: { mode: o.snat?.mode ?? 'auto', address: o.snat?.address ?? '' },
    driver: o.driver ?? 'auto',
    onChange: o.onChange ?? 'drain',
    expires,
    takeover: o.takeover,
    affinity: o.affinity ?? 'none',
    helper: o.helper ?? 'auto',
    clampMss: o.clampMss,
    healthCheck: { mode: o.healthCheck?.mode ?? 'auto', port: o.healthCheck?.port ?? 0 },
    relay: relayOf(o),
  });
  bad.items.push(...(traffic.ok ? carrierViolations(traffic.value, 'spec.') : traffic.error));
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
    'What arrives at the listener goes to the target, or to one of several by their weights. A range of ports goes to as many ports from the port of the target on. The control plane answers once the forward is stored; with --wait the command ends when the agent of every gateway says that it is in place. auto in place of the port takes a free one from 50000 to 50999, which the forward keeps. The kernel carries the forward where it can. Where it cannot, the relay does, a process beside the agent: a listener or target on loopback, IPv4 to IPv6 and back, and whatever the flags marked "Relay only" ask for. What the relay cannot do is refused: --snat none, ADDR/all, --helper ftp, --clamp-mss, --takeover. Not built yet, and refused: --selector.',
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
      says: 'Two web servers, the first with three times the share; each client stays with one',
      command:
        'gwctl forward add shop --gateway gw1 --listen 203.0.113.10:443 --target 10.0.0.31:8443,weight=3 --target 10.0.0.32:8443 --affinity client',
    },
    {
      says: 'A range of ports, TCP and UDP, shifted',
      command: 'gwctl forward add games --gateway gw1 --listen 50000-50009/tcp+udp --target 10.0.0.40:60000',
    },
    {
      says: 'Any free port: the answer says which',
      command: 'gwctl forward add debug --gateway gw1 --listen auto --target 10.0.1.24:9229',
    },
    {
      says: 'IPv6, for a host behind a tunnel',
      command: "gwctl forward add web6 --gateway gw1 --listen '[2001:db8::1]:443' --target '[2001:db8:1::10]:8443' --clamp-mss",
    },
    {
      says: 'A whole address, which the gateway answers ARP for; the agent asks port 22 whether the host is up',
      command:
        'gwctl forward add dmz --gateway gw1 --listen 192.168.100.3/all --announce --target 10.0.0.3 --health-check tcp:22',
    },
    {
      says: 'For eight hours, for one address on one interface; flows of a former target are ended',
      command:
        'gwctl forward add debug --gateway gw1 --listen 203.0.113.10:9229 --interface eth0 --target 10.0.1.24:9229 --allow 198.51.100.7 --expires 8h --on-change cut',
    },
    {
      says: 'A service that listens on the loopback of the gateway only (its policy file must name 127.0.0.1 in targets.allow)',
      command:
        'gwctl forward add metrics --gateway gw1 --listen 192.168.1.10:9090 --target 127.0.0.1:9090 --allow 192.168.1.0/24',
    },
    {
      says: 'IPv6 clients of an IPv4 server, which learns their addresses by the PROXY protocol',
      command:
        "gwctl forward add web46 --gateway gw1 --listen '[2001:db8::1]:443' --target 10.0.0.31:8443 --proxy-protocol v2 --max-connections-per-client 100",
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
    if (o.wait !== undefined) result = await waitInPlace(context, controlPlane, controlPlane.forwards, result, o.wait);
    if (output) await printOne(context, forwardView, result, output);
  },
});
