import { create } from '@bufbuild/protobuf';
import { type Forward, ForwardSchema } from '@gwctl/proto/gwctl/v1/forward_pb';
import { AppError } from '@gwctl/shared/errors/app-error';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { applyMask } from './update-mask.js';

const current = create(ForwardSchema, {
  name: 'web',
  labels: { a: 'b' },
  spec: {
    description: 'old',
    on: { case: 'gateway', value: 'gw1' },
    listen: { address: '10.0.0.1', ports: { first: 80, last: 80 } },
    targets: [{ host: '10.0.0.2', port: 80 }],
    enabled: true,
  },
});
const writable = ['labels', 'spec'];
const apply = (source: Parameters<typeof create<typeof ForwardSchema>>[1], ...paths: string[]): Forward =>
  applyMask(ForwardSchema, current, create(ForwardSchema, source), { paths, writable });

describe('update mask', () => {
  it('takes what it names, below messages too, and leaves the rest and the original alone', () => {
    const changed = apply({ spec: { listen: { ports: { first: 90, last: 90 } }, description: 'ignored' } }, 'spec.listen.ports');
    expect(changed.spec?.listen).toMatchObject({ address: '10.0.0.1', ports: { first: 90 } });
    expect(changed.spec?.description).toBe('old');
    expect(current.spec?.listen?.ports?.first).toBe(80);
  });

  it('clears what the source lacks', () => {
    const changed = apply({}, 'spec.description', 'spec.targets', 'spec.enabled', 'labels', 'spec.listen.address');
    expect(changed).toMatchObject({
      labels: {},
      spec: { description: '', targets: [], enabled: false, listen: { address: '' } },
    });
    expect(apply({}, 'spec').spec).toBeUndefined();
  });

  it('moves between the members of a oneof', () => {
    const selector = { case: 'gatewaySelector', value: { matchLabels: { site: 'tokyo' } } } as const;
    expect(apply({ spec: { on: selector } }, 'spec.gateway_selector').spec?.on.case).toBe('gatewaySelector');
    expect(apply({ spec: { on: selector } }, 'spec.gateway_selector', 'spec.gateway').spec?.on.case).toBe('gatewaySelector');
    expect(apply({}, 'spec.gateway').spec?.on.case).toBeUndefined();
  });

  it('makes the way to what it sets', () => {
    const changed = apply({ spec: { snat: { address: '10.0.0.9' } } }, 'spec.snat.address');
    expect(changed.spec?.snat?.address).toBe('10.0.0.9');
    expect(apply({}, 'spec.snat.address').spec?.snat).toBeUndefined();
  });

  it.each([
    '',
    'name',
    'uid',
    'placements',
    'spec.',
    'spec.nothing',
    'spec.targets.host',
    'spec.listen.ports.first.x',
    'specs',
    '__proto__',
    'spec.constructor',
  ])('refuses %j', (path) => {
    expect(() => apply({}, path)).toThrow(/update_mask/);
  });

  it('refuses none at all, and fails in no other way', () => {
    expect(() => apply({})).toThrow(/is empty/);
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.string(), fc.constantFrom('spec', 'labels', 'spec.listen', 'spec.listen.ports'))),
        (paths) => {
          try {
            apply({}, ...paths);
          } catch (error) {
            expect(error).toBeInstanceOf(AppError);
          }
        },
      ),
    );
  });
});
