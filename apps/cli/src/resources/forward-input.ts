/** What a user wants of a forward: a whole new one, or the parts of one that change. Checked; mappers put it on the wire. */
import type {
  Affinity,
  DriverChoice,
  ForwardSpec,
  HealthCheck,
  HelperChoice,
  OnChange,
  Placing,
} from '@gwctl/shared/domain/forward';
import type { RawRelayOptions } from '@gwctl/shared/domain/relay-options';
import type { Labels } from '../flags/labels.js';
import type { ListenFlag } from '../flags/listen.js';
import type { SnatFlag } from '../flags/snat.js';
import type { TargetFlag } from '../flags/target.js';

export interface NewForward {
  readonly name: string;
  readonly labels: Labels;
  readonly spec: ForwardSpec;
}

/** Options of the relay, each changed by itself; 0: the default. */
type RelayChanges = { readonly [K in keyof RawRelayOptions]?: NonNullable<RawRelayOptions[K]> };

/** Only what is present changes. */
export interface ForwardChanges extends RelayChanges {
  readonly labels?: Labels;
  /** Empty: removed. */
  readonly description?: string;
  /** Empty: removed. */
  readonly owner?: string;
  readonly on?: Placing;
  /** Address, protocol and ports; interface and announcement are changed by themselves. */
  readonly listen?: ListenFlag;
  /** Empty: any interface. */
  readonly interface?: string;
  readonly announce?: boolean;
  readonly targets?: readonly TargetFlag[];
  /** Empty: anyone. */
  readonly allowSources?: readonly string[];
  readonly snat?: SnatFlag;
  readonly driver?: DriverChoice;
  readonly onChange?: OnChange;
  readonly enabled?: boolean;
  /** Milliseconds since the epoch. */
  readonly expires?: number | 'never';
  readonly takeover?: boolean;
  readonly affinity?: Affinity;
  readonly helper?: HelperChoice;
  readonly clampMss?: boolean;
  readonly healthCheck?: HealthCheck;
}
