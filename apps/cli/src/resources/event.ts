import type { DriftResource } from './metadata.js';

/** Something that an agent or the control plane noticed. */
export interface EventResource {
  readonly apiVersion: 'gwctl/v1';
  readonly kind: 'Event';
  readonly uid: string;
  readonly time: string;
  readonly gateway: string;
  /** Of the two at most one; neither where it concerns the whole gateway. */
  readonly forward?: string;
  readonly egress?: string;
  readonly reason: string;
  readonly message: string;
  readonly drift?: DriftResource;
}
