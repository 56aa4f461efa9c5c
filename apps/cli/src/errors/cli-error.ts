import type { Violation } from '@gwctl/shared/domain/result';
import type { AppError } from '@gwctl/shared/errors/app-error';
import { KIND_OF_CODE, type Kind } from './exit-codes.js';

export interface CliErrorInit {
  readonly kind: Kind;
  /** What happened and why, one sentence without a full stop. */
  readonly message: string;
  /** One line each: what exactly. */
  readonly details?: readonly string[];
  /** What to do about it. */
  readonly hint?: string;
  readonly cause?: unknown;
}

/** The error that a command ends with: its kind decides the exit code. */
export class CliError extends Error {
  override readonly name = 'CliError';
  readonly kind: Kind;
  readonly details: readonly string[];
  readonly hint: string | undefined;

  constructor(init: CliErrorInit) {
    super(init.message, init.cause === undefined ? undefined : { cause: init.cause });
    this.kind = init.kind;
    this.details = init.details ?? [];
    this.hint = init.hint;
  }

  /** What a call failed with, in the words of the command line: fields are named by their flags. */
  static fromApp(error: AppError): CliError {
    // A message that only repeats the first violation, with the field's name on the wire, is left to the lines below it.
    const [first] = error.violations;
    const repeats = first !== undefined && error.message.startsWith(`${first.field}: `);
    const toldToLogIn = error.code !== 'UNAUTHENTICATED' || error.message.includes('gwctl login');
    return new CliError({
      kind: KIND_OF_CODE[error.code],
      message: repeats ? 'the control plane refused the request' : error.message,
      details: error.violations.map(violationLine),
      ...(toldToLogIn ? {} : { hint: 'log in again: gwctl login --server HOST:PORT --ca FILE --token-file FILE' }),
      cause: error,
    });
  }

  /** Bad input that was found here, before anything was sent. */
  static usage(violations: readonly Violation[], hint?: string): CliError {
    return new CliError({
      kind: 'usage',
      message: violations.length === 1 ? 'a flag or argument is wrong' : 'flags or arguments are wrong',
      details: violations.map(violationLine),
      ...(hint === undefined ? {} : { hint }),
    });
  }
}

const violationLine = (v: Violation): string => `${flagOfField(v.field)}: ${v.description}`;

/** Fields of requests, by the flags that set them. The first pattern that matches counts. */
const FLAGS: readonly (readonly [RegExp, string])[] = [
  [/^(metadata\.)?name$/, 'NAME'],
  [/^(metadata\.)?labels\b/, '--label'],
  [/^etag$/, '--etag'],
  [/^spec\.listen\.interface$/, '--interface'],
  [/^spec\.listen\.announce$/, '--announce'],
  [/^spec\.listen\b/, '--listen'],
  [/^spec\.targets\b/, '--target'],
  [/^spec\.allow_sources\b/, '--allow'],
  [/^spec\.snat\b/, '--snat'],
  [/^spec\.affinity$/, '--affinity'],
  [/^spec\.helper$/, '--helper'],
  [/^spec\.clamp_mss$/, '--clamp-mss'],
  [/^spec\.health_check\b/, '--health-check'],
  [/^spec\.relay\.proxy_protocol$/, '--proxy-protocol'],
  [/^spec\.relay\.connect_timeout_seconds$/, '--connect-timeout'],
  [/^spec\.relay\.tcp_idle_timeout_seconds$/, '--tcp-idle-timeout'],
  [/^spec\.relay\.udp_idle_timeout_seconds$/, '--udp-idle-timeout'],
  [/^spec\.relay\.max_connections$/, '--max-connections'],
  [/^spec\.relay\.max_connections_per_client$/, '--max-connections-per-client'],
  [/^spec\.sources\b/, '--source'],
  [/^spec\.out_interface$/, '--out-interface'],
  [/^spec\.except_destinations\b/, '--except'],
  [/^settings\.drift_policy$/, '--drift'],
  [/^settings\.resolvers\b/, '--resolver'],
  [/^settings\.dns_min_ttl_seconds$/, '--dns-min-ttl'],
  [/^settings\.dns_max_ttl_seconds$/, '--dns-max-ttl'],
  [/^spec\.driver$/, '--driver'],
  [/^spec\.on_change$/, '--on-change'],
  [/^spec\.expires\b/, '--expires'],
  [/^spec\.description$/, '--description'],
  [/^spec\.owner$/, '--owner'],
  [/^spec\.takeover$/, '--takeover'],
  [/^spec\.gateway$/, '--gateway'],
  [/^spec\.gateway_selector\b/, '--selector'],
  [/^spec\.on$/, '--gateway or --selector'],
  [/^filter\.gateway$/, '--gateway'],
  [/^filter\.forward$/, '--forward'],
  [/^filter\.labels\b/, '--label'],
  [/^filter\.owner$/, '--owner'],
  [/^filter\.state$/, '--state'],
  [/^page_size$/, '--limit'],
  [/^ttl_seconds$/, '--token-ttl'],
  [/^source_cidr$/, '--token-source'],
];

/** The flag that a field of a request comes from, or the field itself. An index says which of several it was. */
export function flagOfField(field: string): string {
  const plain = field.replace(/^(forward|egress|gateway)\./, '');
  // Agents speak of a spec's fields without its name.
  const found = FLAGS.find(([pattern]) => pattern.test(plain)) ?? FLAGS.find(([pattern]) => pattern.test(`spec.${plain}`));
  if (!found) return field;
  const index = /\[(\d+)\]/.exec(plain)?.[1];
  return index === undefined ? found[1] : `${found[1]} (number ${Number(index) + 1})`;
}
