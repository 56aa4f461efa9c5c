import { AppError, CODES, type Code } from '@gwctl/shared/errors/app-error';
import { describe, expect, it } from 'vitest';
import { CliError, flagOfField } from './cli-error.js';
import { EXIT_CODES, KIND_OF_CODE } from './exit-codes.js';
import { errorLines, toCliError } from './render.js';

const app = (code: Code) => new AppError({ code, reason: code, message: 'what, why, how' });

describe('exit codes', () => {
  it.each([
    ['CANCELLED', 130],
    ['UNKNOWN', 1],
    ['INVALID_ARGUMENT', 2],
    ['DEADLINE_EXCEEDED', 1],
    ['NOT_FOUND', 3],
    ['ALREADY_EXISTS', 5],
    ['PERMISSION_DENIED', 4],
    ['RESOURCE_EXHAUSTED', 1],
    ['FAILED_PRECONDITION', 5],
    ['ABORTED', 5],
    ['UNIMPLEMENTED', 1],
    ['INTERNAL', 1],
    ['UNAVAILABLE', 1],
    ['UNAUTHENTICATED', 4],
  ] as const)('%s: %i', (code, exit) => {
    expect(EXIT_CODES[toCliError(app(code)).kind]).toBe(exit);
  });

  it('know every code, and are those of the documentation', () => {
    expect(Object.keys(KIND_OF_CODE).sort()).toEqual(Object.keys(CODES).sort());
    expect(Object.values(EXIT_CODES)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 130]);
  });
});

describe('errors as they are shown', () => {
  it('name flags instead of fields, each violation on its own line, without saying the first one twice', () => {
    const error = AppError.invalid([
      { field: 'forward.spec.listen.ports', description: '0 is not a port' },
      { field: 'forward.spec.targets[1].host', description: 'is IPv6' },
      { field: 'forward.spec.new_thing', description: 'is not known' },
    ]);
    expect(errorLines(toCliError(error))).toEqual([
      'gwctl: the control plane refused the request',
      '  --listen: 0 is not a port',
      '  --target (number 2): is IPv6',
      '  forward.spec.new_thing: is not known',
    ]);
  });

  it('keep a message that says more than its violations', () => {
    const error = new AppError({
      code: 'ALREADY_EXISTS',
      reason: 'LISTENER_TAKEN',
      message: 'the listener is taken by forward db',
      violations: [{ field: 'spec.listen', description: '*:80/tcp overlaps' }],
    });
    expect(errorLines(toCliError(error))).toEqual([
      'gwctl: the listener is taken by forward db',
      '  --listen: *:80/tcp overlaps',
    ]);
  });

  it('say what to do about a token that is no longer good', () => {
    expect(toCliError(app('UNAUTHENTICATED')).hint).toContain('gwctl login');
  });

  it('own up to mistakes of their own', () => {
    const error = toCliError(new TypeError('x is not a function'));
    expect(error).toMatchObject({ kind: 'error', message: 'gwctl itself failed: x is not a function' });
  });

  it('leave a CliError as it is', () => {
    const error = new CliError({ kind: 'partly', message: 'half' });
    expect(toCliError(error)).toBe(error);
  });
});

describe('flagOfField', () => {
  it.each([
    ['name', 'NAME'],
    ['forward.name', 'NAME'],
    ['labels', '--label'],
    ['spec.listen.interface', '--interface'],
    ['listen.ports', '--listen'],
    ['spec.health_check.port', '--health-check'],
    ['egress.spec.sources[1]', '--source (number 2)'],
    ['settings.resolvers[0]', '--resolver (number 1)'],
    ['spec.listen.ports.first', '--listen'],
    ['spec.allow_sources[0]', '--allow (number 1)'],
    ['spec.relay.proxy_protocol', '--proxy-protocol'],
    ['relay.connect_timeout_seconds', '--connect-timeout'],
    ['spec.relay.tcp_idle_timeout_seconds', '--tcp-idle-timeout'],
    ['relay.udp_idle_timeout_seconds', '--udp-idle-timeout'],
    ['forward.spec.relay.max_connections', '--max-connections'],
    ['relay.max_connections_per_client', '--max-connections-per-client'],
    ['spec.snat.address', '--snat'],
    ['spec.on_change', '--on-change'],
    ['spec.gateway_selector.match_labels', '--selector'],
    ['filter.state', '--state'],
    ['page_size', '--limit'],
    ['ttl_seconds', '--token-ttl'],
    ['--listen', '--listen'],
  ])('%s: %s', (field, flag) => {
    expect(flagOfField(field)).toBe(flag);
  });
});
