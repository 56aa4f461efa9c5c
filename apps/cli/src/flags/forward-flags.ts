/** Flags that `forward add` and `forward set` share, and what they say together. */
import { type Placing, parseAllowSource, parseTrafficSpec, type RawTrafficSpec } from '@gwctl/shared/domain/forward';
import { parseInterface, parseName, parseText } from '@gwctl/shared/domain/names';
import { ok, type Result, type Violation } from '@gwctl/shared/domain/result';
import { formatAllowSource } from '@gwctl/shared/wire/traffic-spec';
import { implied, value } from '../command/definition.js';
import { parseChoice } from './choice.js';
import { formatDuration, parseDurationWithin } from './duration.js';
import { type Labels, parseSelector } from './labels.js';
import { parseSnat } from './snat.js';

const DRIVERS = ['auto', 'kernel', 'relay'] as const;
const POLICIES = ['drain', 'cut', 'keep'] as const;

/** How long --wait waits unless it says otherwise, in milliseconds. */
export const DEFAULT_WAIT_MS = 30_000;

export const parseAllow = (text: string): Result<string, string> => {
  const source = parseAllowSource(text);
  return source.ok ? ok(formatAllowSource(source.value)) : source;
};

/** An interface, or nothing for any. */
export const parseInterfaceOrNone = (text: string): Result<string, string> => (text === '' ? ok('') : parseInterface(text));

export const placingOptions = {
  gateway: value({
    placeholder: 'GW',
    summary: 'Gateway that carries the forward; this or --selector',
    parse: parseName,
    complete: 'gateways',
  }),
  selector: value({
    placeholder: 'K=V[,K=V]',
    summary: 'Every gateway with these labels carries the forward; this or --gateway',
    parse: parseSelector,
  }),
};

export const policyOptions = {
  snat: value({
    placeholder: 'auto|masquerade|none|ADDR',
    summary: "Source address that the target sees; none keeps the client's (default auto)",
    parse: parseSnat,
    complete: ['auto', 'masquerade', 'none'],
  }),
  driver: value({
    placeholder: DRIVERS.join('|'),
    summary: 'What carries it: auto prefers the kernel (default auto)',
    parse: parseChoice(DRIVERS, 'a driver'),
    complete: DRIVERS,
  }),
  onChange: value({
    placeholder: POLICIES.join('|'),
    summary: 'What happens to flows of the old target when it changes (default drain)',
    parse: parseChoice(POLICIES, 'a policy for changes'),
    complete: POLICIES,
  }),
  description: value({ placeholder: 'TEXT', summary: 'What it is for', parse: parseText }),
  owner: value({ placeholder: 'OWNER', summary: 'Who answers for it', parse: parseText }),
};

export const waitOption = {
  wait: implied({
    placeholder: 'DURATION',
    summary: `Wait until every agent says that it is done (default ${formatDuration(DEFAULT_WAIT_MS)}); exit code 6 where that takes longer`,
    parse: parseDurationWithin(1, 86_400_000, '1ms to 24h'),
    implied: DEFAULT_WAIT_MS,
  }),
};

/** Exactly one of --gateway and --selector. */
export function placingOf(options: {
  readonly gateway: string | undefined;
  readonly selector: Labels | undefined;
}): Result<Placing | undefined, Violation> {
  const { gateway, selector } = options;
  if (gateway !== undefined && selector !== undefined)
    return { ok: false, error: { field: 'spec.on', description: 'both are given; name one gateway or one selector' } };
  if (gateway !== undefined) return ok({ kind: 'gateway', gateway });
  return ok(selector === undefined ? undefined : { kind: 'selector', matchLabels: selector });
}

/** What takes the place of parts that are not given, so that those that are can be checked against each other. */
const NEUTRAL: RawTrafficSpec = {
  listen: { address: '', interface: '', protocol: 'tcp', ports: { first: 1, last: 1 }, announce: false },
  targets: [{ host: 'target.invalid', port: 0, weight: 1 }],
  allowSources: [],
  snat: { mode: 'auto', address: '' },
  driver: 'auto',
  onChange: 'drain',
  enabled: true,
  takeover: false,
};

/** Checks the given parts with the same code as the control plane and the agent; the whole is theirs to judge. */
export const checkParts = (parts: Partial<RawTrafficSpec>) => parseTrafficSpec({ ...NEUTRAL, ...parts }, 'spec.');
