/** An egress as people and programs see it: the form of `-o yaml` and `-o json`. Mappers make it from the wire and back. */
import type { SnatMode } from '@gwctl/shared/domain/forward';
import type { Metadata, Word } from './metadata.js';
import type { PlacementResource } from './placement.js';

export interface EgressSpecResource {
  readonly description?: string;
  readonly owner?: string;
  readonly gateway: string;
  readonly sources: readonly string[];
  readonly outInterface: string;
  readonly snat: { readonly mode: Word<SnatMode>; readonly address?: string };
  readonly exceptDestinations: readonly string[];
  readonly enabled: boolean;
}

export interface EgressResource {
  readonly apiVersion: 'gwctl/v1';
  readonly kind: 'Egress';
  readonly metadata: Metadata;
  readonly spec: EgressSpecResource;
  /** One placement, in the same form as those of a forward. */
  readonly status: { readonly placements: readonly PlacementResource[] };
}
