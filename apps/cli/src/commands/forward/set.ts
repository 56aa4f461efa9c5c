import { parseName } from '@gwctl/shared/domain/names';
import { ViolationList } from '@gwctl/shared/domain/result';
import { argument, defineCommand, flag, list, type OptionValues, toggle, value } from '../../command/definition.js';
import { CliError } from '../../errors/cli-error.js';
import { parseEtag } from '../../flags/etag.js';
import {
  CLAMP_MSS,
  checkParts,
  parseAllow,
  parseInterfaceOrNone,
  placingOf,
  placingOptions,
  policyOptions,
  waitOption,
} from '../../flags/forward-flags.js';
import { parseLabelChange } from '../../flags/labels.js';
import { parseListen } from '../../flags/listen.js';
import { relayOf, relayOptions } from '../../flags/relay.js';
import { parseTarget, rawTarget } from '../../flags/target.js';
import { parseExpiryOrNever, resolveExpiry } from '../../flags/time.js';
import { FORMATS } from '../../output/format.js';
import { forwardSentence, forwardView } from '../../output/forward-view.js';
import { printOne } from '../../output/view.js';
import type { ForwardChanges } from '../../resources/forward-input.js';
import { waitInPlace } from '../../wait/wait-in-place.js';
import { update } from '../update.js';

const options = {
  ...placingOptions,
  listen: value({
    placeholder: '[ADDR:]PORT[-PORT][/PROTO]',
    summary: 'Address, ports and protocol together; the interface stays',
    parse: parseListen,
  }),
  target: list({
    placeholder: 'HOST[:PORT][,weight=N]',
    summary: 'Targets, in place of all that there are',
    parse: parseTarget,
  }),
  interface: value({
    placeholder: 'IF',
    summary: 'Take traffic of this interface only; --interface= for any',
    parse: parseInterfaceOrNone,
  }),
  allow: list({ placeholder: 'CIDR|NAME', summary: 'Who may connect, in place of all who may', parse: parseAllow }),
  allowAnyone: flag({ summary: 'Empty the allow-list: anyone may connect' }),
  ...policyOptions,
  ...relayOptions,
  expires: value({ placeholder: '8h|TIME|never', summary: 'When it ends by itself', parse: parseExpiryOrNever }),
  label: list({ placeholder: 'K=V|K-', summary: 'Set a label, or remove it', parse: parseLabelChange }),
  clampMss: toggle({ summary: CLAMP_MSS }),
  announce: toggle({ summary: 'Answer ARP or NDP for a listener address that the gateway does not own' }),
  takeover: toggle({ summary: 'Take the listener although a local socket of the gateway uses it' }),
  etag: value({ placeholder: 'ETAG', summary: 'Change it only if it is still this one (see forward get)', parse: parseEtag }),
  dryRun: flag({ summary: 'Check everything, change nothing' }),
  ...waitOption,
};

/** What the flags change, labels apart: nothing else is touched. */
export function changesOf(o: OptionValues<typeof options>, now: number): ForwardChanges {
  const bad = new ViolationList();
  const placing = placingOf(o);
  if (!placing.ok) bad.items.push(placing.error);
  if (o.allowAnyone && o.allow.length > 0) bad.add('--allow-anyone', 'contradicts --allow; give one of them');
  if (o.dryRun && o.wait !== undefined) bad.add('--wait', 'has nothing to wait for with --dry-run; leave out one of them');
  const expires = o.expires && bad.take('spec.expires', resolveExpiry(o.expires, now));
  const { listen, target, snat, driver, onChange } = o;
  const parts = checkParts({
    ...(listen ? { listen: { ...listen, interface: o.interface ?? '', announce: false } } : {}),
    ...(target.length > 0 ? { targets: target.map(rawTarget) } : {}),
    ...(snat ? { snat: { mode: snat.mode, address: snat.address ?? '' } } : {}),
    // What goes with these depends on a listener's address and protocol: without it, the control plane says.
    ...(listen?.address ? { allowSources: o.allow } : {}),
    ...(listen ? { relay: relayOf(o) } : {}),
  });
  if (!parts.ok) bad.items.push(...parts.error);
  if (bad.items.length > 0 || !placing.ok) throw CliError.usage(bad.items, 'gwctl forward set --help');
  return {
    ...(o.description === undefined ? {} : { description: o.description }),
    ...(o.owner === undefined ? {} : { owner: o.owner }),
    ...(placing.value ? { on: placing.value } : {}),
    ...(listen ? { listen } : {}),
    ...(o.interface === undefined ? {} : { interface: o.interface }),
    ...(o.announce === undefined ? {} : { announce: o.announce }),
    ...(target.length > 0 ? { targets: target } : {}),
    ...(o.allow.length > 0 || o.allowAnyone ? { allowSources: o.allow } : {}),
    ...(snat ? { snat } : {}),
    ...(driver ? { driver } : {}),
    ...(onChange ? { onChange } : {}),
    ...(o.expires ? { expires: expires ?? 'never' } : {}),
    ...(o.takeover === undefined ? {} : { takeover: o.takeover }),
    ...(o.affinity ? { affinity: o.affinity } : {}),
    ...(o.helper ? { helper: o.helper } : {}),
    ...(o.clampMss === undefined ? {} : { clampMss: o.clampMss }),
    ...(o.healthCheck ? { healthCheck: o.healthCheck } : {}),
    ...given(o, Object.keys(relayOptions) as (keyof typeof relayOptions)[]),
  };
}

/** The named ones that are given. */
function given<T extends object, K extends keyof T>(from: T, keys: readonly K[]): { readonly [P in K]?: NonNullable<T[P]> } {
  return Object.fromEntries(keys.flatMap((key) => (from[key] === undefined ? [] : [[key, from[key]]]))) as {
    [P in K]?: NonNullable<T[P]>;
  };
}

export const setForward = defineCommand({
  path: 'forward set',
  summary: 'Change a forward',
  description:
    'Changes exactly what the flags name; everything else stays as it is. A forward that goes from the kernel to the relay or back is carried by the one before the other lets go of it, and TCP connections that are open go on unless --on-change is cut.',
  args: { name: argument({ placeholder: 'NAME', summary: 'Name of the forward', parse: parseName, complete: 'forwards' }) },
  options,
  formats: FORMATS,
  connects: true,
  examples: [
    { says: 'Another target, and wait for it', command: 'gwctl forward set web --target 10.0.1.25:80 --wait' },
    {
      says: 'Take a target out of rotation by naming the others',
      command: 'gwctl forward set shop --target 10.0.0.31:8443 --target 10.0.0.33:8443,weight=2',
    },
    { says: 'Set a label, remove another', command: 'gwctl forward set web --label team=db --label old-' },
    { says: 'From the kernel to the relay; --driver auto takes it back', command: 'gwctl forward set web --driver relay --wait' },
    {
      says: 'Fewer connections at a time, and the usual time-out again',
      command: 'gwctl forward set web --max-connections 500 --connect-timeout default',
    },
    { says: 'Let it run on for good', command: 'gwctl forward set web --expires never' },
    { says: 'Only if nobody changed it since', command: 'gwctl forward set web --etag ETAG --owner web-team' },
  ],
  async run(context, { args, options: o, output }) {
    const changes = changesOf(o, context.clock.now());
    const controlPlane = await context.controlPlane();
    const { etag, dryRun, label } = o;
    let result = await update(controlPlane.forwards, 'forward', args.name, changes, { labels: label, etag, dryRun });
    context.talk(
      `forward ${args.name} ${dryRun ? 'would be changed (nothing was changed)' : 'changed'}: ${forwardSentence(result)}`,
    );
    if (o.wait !== undefined) result = await waitInPlace(context, controlPlane, controlPlane.forwards, result, o.wait);
    if (output) await printOne(context, forwardView, result, output);
  },
});
