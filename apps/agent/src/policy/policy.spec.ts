import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { readEntry } from '../desired/entry-codec.js';
import { entry, uidOf } from '../testing/forwards.js';
import { ip } from '../testing/placed.js';
import { planForwards } from '../testing/plan-forwards.js';
import { NO_POLICY, type Policy, parsePolicy, policyCheck } from './policy.js';
import { readPolicy } from './policy-file.js';

const forward = (n: number, options: Parameters<typeof entry>[1] = {}) => {
  const read = readEntry(entry(n, options));
  if (read.kind !== 'forward') throw new Error('not readable');
  return read.forward;
};

const HEAD = 'apiVersion: gwctl/v1\nkind: Policy\n';

const refused = (policy: string, ...forwards: ReturnType<typeof forward>[]) => {
  const parsed = parsePolicy(parse(HEAD + policy));
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.error));
  return refusals(parsed.value, forwards);
};

/** As the planner applies it, by uid. */
function refusals(policy: Policy, forwards: readonly ReturnType<typeof forward>[]): [string, string[]][] {
  const facts = { addresses: [], interfaces: ['wan0', 'lan0'], sockets: [], protected: [] };
  const { judgements } = planForwards({ desired: forwards, facts, policy: policyCheck(policy) });
  return judgements.flatMap(({ uid, verdict }) =>
    verdict.kind === 'reject' && verdict.reason === 'POLICY' ? [[uid, verdict.violations.map((v) => v.field)]] : [],
  );
}

describe('policy', () => {
  it.each([
    { what: 'nothing', policy: '', field: undefined },
    { what: 'another interface', policy: 'listen: { interfaces: [lan0] }', field: 'spec.listen.interface' },
    { what: 'the port', policy: 'listen: { ports: [1000-2000] }', field: undefined },
    { what: 'one port', policy: 'listen: { ports: [1001] }', field: undefined },
    { what: 'other ports', policy: 'listen: { ports: [1-1000, 1002-2000] }', field: 'spec.listen.ports' },
    { what: 'no port', policy: 'listen: { ports: [] }', field: 'spec.listen.ports' },
    { what: 'the target', policy: 'targets: { allow: [198.51.100.0/24] }', field: undefined },
    { what: 'other targets', policy: 'targets: { allow: [192.0.2.0/24] }', field: 'spec.targets[0].host' },
    { what: 'not this target', policy: 'targets: { forbid: [198.51.100.1/32] }', field: 'spec.targets[0].host' },
    { what: 'nothing at all', policy: 'killSwitch: true', field: 'policy.killSwitch' },
  ])('that names $what refuses $field', ({ policy, field }) => {
    expect(refused(policy, forward(1))).toEqual(field === undefined ? [] : [[uidOf(1), [field]]]);
  });

  it('keeps the first of too many, and does not count what is disabled or refused', () => {
    const forwards = [forward(3), forward(1, { enabled: false }), forward(2), forward(4), forward(0, { port: 9 })];
    expect(refused('maxForwards: 2\nlisten: { ports: [10-65535] }', ...forwards)).toEqual([
      [uidOf(0), ['spec.listen.ports']],
      [uidOf(4), ['policy.maxForwards']],
    ]);
  });

  it('names every problem of a file', () => {
    const parsed = parsePolicy(
      parse(
        'apiVersion: v2\nkind: Policy\nlisten: { port: [1] }\ntargets: { allow: [10.0.0.1/8] }\nmaxForwards: -1\nkillSwitch: maybe',
      ),
    );
    expect(parsed.ok ? [] : parsed.error.map((v) => v.field)).toEqual([
      'apiVersion',
      'listen.port',
      'targets.allow[0]',
      'maxForwards',
      'killSwitch',
    ]);
  });

  it('never throws', () => {
    fc.assert(fc.property(fc.anything(), (document) => void parsePolicy(document)));
  });

  it.each([
    ['', false],
    ['targets: { allow: [0.0.0.0/0] }', false],
    ['targets: { allow: [127.0.0.0/8] }', true],
    ['targets: { allow: [127.0.0.1] }', true],
    ['targets: { allow: [127.0.0.1], forbid: [127.0.0.0/8] }', false],
    ['targets: { allow: [10.0.0.0/8] }', false],
  ] as const)('%s lets forwards go to the loopback of the gateway: %s', (policy, may) => {
    const parsed = parsePolicy(parse(HEAD + policy));
    expect(parsed.ok && policyCheck(parsed.value).permitsLocal(ip('127.0.0.1'))).toBe(may);
  });

  it('lets forwards go to an address of the gateway itself where it names just that', () => {
    const own = (policy: string) => {
      const parsed = parsePolicy(parse(HEAD + policy));
      return parsed.ok && policyCheck(parsed.value).permitsLocal(ip('10.0.0.1'));
    };
    expect(own('targets: { allow: [10.0.0.0/8] }')).toBe(false);
    expect(own('targets: { allow: [10.0.0.0/8, 10.0.0.1/32] }')).toBe(true);
  });

  it('is without limits where there is none', () => {
    expect(refusals(NO_POLICY, [forward(1)])).toEqual([]);
  });
});

describe('policy file', () => {
  let dir: string;
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'gwctl-policy-'));
  });
  afterAll(() => rm(dir, { recursive: true, force: true }));

  const write = async (text: string, mode = 0o600) => {
    const path = join(dir, 'policy.yaml');
    await writeFile(path, text);
    await chmod(path, mode);
    return path;
  };

  it('is read', async () => {
    expect(await readPolicy(await write(`${HEAD}killSwitch: true`))).toMatchObject({ killSwitch: true });
  });

  it.each([
    { what: 'is not YAML', text: 'a: [', mode: 0o600, reason: 'POLICY_INVALID' },
    { what: 'is empty', text: '', mode: 0o600, reason: 'POLICY_INVALID' },
    { what: 'has unknown keys', text: `${HEAD}killswitch: true`, mode: 0o600, reason: 'POLICY_INVALID' },
    { what: 'others may write', text: HEAD, mode: 0o666, reason: 'POLICY_UNTRUSTED' },
  ])('that $what is refused', async ({ text, mode, reason }) => {
    await expect(readPolicy(await write(text, mode))).rejects.toMatchObject({ reason });
  });

  it('that is missing is refused', async () => {
    await expect(readPolicy(join(dir, 'none.yaml'))).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });
});
