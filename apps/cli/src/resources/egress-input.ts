/** What a user wants of an egress: a whole new one, or the parts of one that change. Checked; mappers put it on the wire. */
import type { EgressSpec } from '@gwctl/shared/domain/egress';
import type { Labels } from '../flags/labels.js';
import type { SnatFlag } from '../flags/snat.js';

export interface NewEgress {
  readonly name: string;
  readonly labels: Labels;
  readonly gateway: string;
  readonly description: string;
  readonly owner: string;
  readonly spec: EgressSpec;
}

/** Only what is present changes. */
export interface EgressChanges {
  readonly labels?: Labels;
  /** Empty: removed. */
  readonly description?: string;
  /** Empty: removed. */
  readonly owner?: string;
  readonly gateway?: string;
  readonly sources?: readonly string[];
  readonly outInterface?: string;
  readonly snat?: SnatFlag;
  /** Empty: none. */
  readonly exceptDestinations?: readonly string[];
  readonly enabled?: boolean;
}
