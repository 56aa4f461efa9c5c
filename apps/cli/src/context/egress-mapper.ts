import type { MessageInitShape } from '@bufbuild/protobuf';
import type { Egress, EgressSchema } from '@gwctl/proto/gwctl/v1/egress_pb';
import { wireEgressSpec } from '@gwctl/shared/wire/egress-spec';
import { snatWords } from '@gwctl/shared/wire/words';
import type { EgressResource } from '../resources/egress.js';
import type { EgressChanges, NewEgress } from '../resources/egress-input.js';
import { count, optionalText, optionalTime, wordOr } from './common-mapper.js';
import { toPlacement } from './placement-mapper.js';

export function toEgress(e: Egress): EgressResource {
  const { spec } = e;
  const mode = spec?.snat?.mode ?? 0;
  return {
    apiVersion: 'gwctl/v1',
    kind: 'Egress',
    metadata: {
      name: e.name,
      labels: { ...e.labels },
      ...optionalText('uid', e.uid),
      ...optionalText('etag', e.etag),
      generation: count(e.generation),
      ...optionalTime('createTime', e.createTime),
      ...optionalTime('updateTime', e.updateTime),
    },
    spec: {
      ...optionalText('description', spec?.description ?? ''),
      ...optionalText('owner', spec?.owner ?? ''),
      gateway: spec?.gateway ?? '',
      sources: spec?.sources ?? [],
      outInterface: spec?.outInterface ?? '',
      snat: { mode: wordOr(snatWords.fromWire(mode), mode), ...optionalText('address', spec?.snat?.address ?? '') },
      exceptDestinations: spec?.exceptDestinations ?? [],
      enabled: spec?.enabled ?? false,
    },
    status: { placements: e.placement ? [toPlacement(e.placement)] : [] },
  };
}

export function fromNewEgress(egress: NewEgress): MessageInitShape<typeof EgressSchema> {
  const { name, labels, gateway, description, owner, spec } = egress;
  return { name, labels: { ...labels }, spec: { gateway, description, owner, ...wireEgressSpec(spec) } };
}

/** Which field each change stands for. */
const PATHS: Readonly<Record<keyof EgressChanges, string>> = {
  labels: 'labels',
  description: 'spec.description',
  owner: 'spec.owner',
  gateway: 'spec.gateway',
  sources: 'spec.sources',
  outInterface: 'spec.out_interface',
  snat: 'spec.snat',
  exceptDestinations: 'spec.except_destinations',
  enabled: 'spec.enabled',
};

/** The field mask: exactly the fields that the changes name, so that nothing else is touched. */
export const egressMaskOf = (changes: EgressChanges): string[] =>
  (Object.keys(PATHS) as (keyof EgressChanges)[]).filter((key) => changes[key] !== undefined).map((key) => PATHS[key]);

/** The changes as a message that holds nothing else; {@link egressMaskOf} says which of its fields count. */
export function fromEgressChanges(name: string, changes: EgressChanges): MessageInitShape<typeof EgressSchema> {
  const { snat } = changes;
  return {
    name,
    labels: { ...changes.labels },
    spec: {
      description: changes.description ?? '',
      owner: changes.owner ?? '',
      gateway: changes.gateway ?? '',
      sources: [...(changes.sources ?? [])],
      outInterface: changes.outInterface ?? '',
      ...(snat ? { snat: { mode: snatWords.toWire(snat.mode), address: snat.address ?? '' } } : {}),
      exceptDestinations: [...(changes.exceptDestinations ?? [])],
      enabled: changes.enabled ?? false,
    },
  };
}
