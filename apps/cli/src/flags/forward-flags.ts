/** Flags that `forward add` and `forward set` share, and what they say together. */
import {
  type Placing,
  parseAllowSource,
  parseTrafficSpec,
  type RawTrafficSpec,
  type TrafficSpec,
} from '@gwctl/shared/domain/forward';
import { parseInterface, parseName, parseText } from '@gwctl/shared/domain/names';
import { ok, type Result, type Violation } from '@gwctl/shared/domain/result';
import { formatAllowSource } from '@gwctl/shared/wire/traffic-spec';
import { implied, value } from '../command/definition.js';
import { parseChoice } from './choice.js';
import { formatDuration, parseDurationWithin } from './duration.js';
import { parseHealthCheck } from './health-check.js';
import { type Labels, parseSelector } from './labels.js';
import { ANY_FREE } from './listen.js';
import { parseSnat } from './snat.js';

const DRIVERS = ['auto', 'kernel', 'relay'] as const;
const POLICIES = ['drain', 'cut', 'keep'] as const;
const AFFINITIES = ['none', 'client'] as const;
const HELPERS = ['auto', 'none', 'ftp'] as const;

/** Said of --clamp-mss by both commands. */
export const CLAMP_MSS = 'Lower the segment size that TCP announces to what fits the path, for targets behind a tunnel or PPPoE';

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
    summary: 'What carries it: auto takes the kernel where it can, the relay where it must (default auto)',
    parse: parseChoice(DRIVERS, 'a driver'),
    complete: DRIVERS,
  }),
  onChange: value({
    placeholder: POLICIES.join('|'),
    summary:
      'What happens to flows whose target or listener goes: drain lets TCP finish and moves UDP at once, cut ends both, keep leaves both (default drain)',
    parse: parseChoice(POLICIES, 'a policy for changes'),
    complete: POLICIES,
  }),
  affinity: value({
    placeholder: AFFINITIES.join('|'),
    summary: 'Of several targets, client keeps all flows of a client address on one (default none)',
    parse: parseChoice(AFFINITIES, 'an affinity'),
    complete: AFFINITIES,
  }),
  helper: value({
    placeholder: HELPERS.join('|'),
    summary: 'Protocol that names ports inside its payload; auto is ftp for target port 21/tcp (default auto)',
    parse: parseChoice(HELPERS, 'a helper'),
    complete: HELPERS,
  }),
  healthCheck: value({
    placeholder: 'auto|none|tcp[:PORT]',
    summary: 'How the agent sees whether a target is up; auto is tcp where the listener takes TCP ports (default auto)',
    parse: parseHealthCheck,
    complete: ['auto', 'none', 'tcp'],
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
  affinity: 'none',
  helper: 'auto',
  clampMss: false,
};

/** Checks the given parts with the same code as the control plane and the agent; the whole is theirs to judge. */
export function checkParts(parts: Partial<RawTrafficSpec>): Result<TrafficSpec, readonly Violation[]> {
  const { listen } = parts;
  if (listen?.ports?.first !== 0) return parseTrafficSpec({ ...NEUTRAL, ...parts }, 'spec.');
  // A port that the control plane is to choose is none that could be checked.
  const checked = parseTrafficSpec({ ...NEUTRAL, ...parts, listen: { ...listen, ports: { first: 1, last: 1 } } }, 'spec.');
  return checked.ok ? ok({ ...checked.value, listen: { ...checked.value.listen, ports: ANY_FREE } }) : checked;
}
