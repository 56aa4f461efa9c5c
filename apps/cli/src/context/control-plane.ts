/** What commands ask of a control plane, in resources; nothing of the wire is seen beyond this folder. */
import type { PlacementStateWord } from '@gwctl/shared/domain/status';
import type { Labels } from '../flags/labels.js';
import type { EgressResource } from '../resources/egress.js';
import type { EgressChanges, NewEgress } from '../resources/egress-input.js';
import type { EventResource } from '../resources/event.js';
import type { ForwardResource } from '../resources/forward.js';
import type { ForwardChanges, NewForward } from '../resources/forward-input.js';
import type { GatewayResource } from '../resources/gateway.js';
import type { GatewayChanges } from '../resources/gateway-input.js';
import type { Carried } from '../resources/placement.js';
import type { Identity, SystemStatusResource } from '../resources/system.js';

export interface ForwardFilter {
  readonly gateway?: string;
  readonly labels?: Labels;
  readonly owner?: string;
  readonly state?: PlacementStateWord;
}

export interface EgressFilter {
  readonly gateway?: string;
  readonly labels?: Labels;
}

/** A gateway, and the revision at which something is true there. */
export interface GatewayRevision {
  readonly gateway: string;
  readonly revision: number;
}

export interface JoinToken {
  readonly joinString: string;
  /** RFC 3339; absent where the control plane does not say. */
  readonly expireTime?: string;
}

/** What gateways carry. */
export type EntryKind = 'forward' | 'egress';

export const plural = (kind: EntryKind) => (kind === 'forward' ? 'forwards' : 'egresses');

/** The calls about one kind of what gateways carry: `R` as it stands, `N` a new one, `C` changes, `F` a filter. */
export interface Collection<R, N, C, F> {
  create(wanted: N, options: { readonly requestId: string; readonly dryRun: boolean }): Promise<R>;
  get(name: string): Promise<R>;
  list(filter: F): AsyncGenerator<R>;
  update(name: string, changes: C, options: { readonly etag?: string; readonly dryRun: boolean }): Promise<R>;
  delete(name: string, options: { readonly etag?: string; readonly dryRun: boolean }): Promise<readonly GatewayRevision[]>;
  watch(name: string, signal: AbortSignal): AsyncGenerator<R>;
}

/** What may be asked alike of every kind. */
export type AnyCollection = Pick<
  Collection<Carried & { readonly kind: string }, never, { readonly enabled: boolean }, never>,
  'update' | 'delete' | 'watch'
>;

export const collectionOf = (controlPlane: ControlPlane, kind: EntryKind): AnyCollection =>
  kind === 'forward' ? controlPlane.forwards : controlPlane.egresses;

/** Lists yield every entry, page by page as they are read. Watches begin with what is, and end without an error when aborted. */
export interface ControlPlane {
  readonly system: {
    whoAmI(): Promise<Identity>;
    status(): Promise<SystemStatusResource>;
  };
  readonly forwards: Collection<ForwardResource, NewForward, ForwardChanges, ForwardFilter>;
  readonly egresses: Collection<EgressResource, NewEgress, EgressChanges, EgressFilter>;
  readonly gateways: {
    create(name: string, labels: Labels, options: { readonly requestId: string }): Promise<GatewayResource>;
    get(name: string): Promise<GatewayResource>;
    list(labels: Labels): AsyncGenerator<GatewayResource>;
    setLabels(name: string, labels: Labels, etag: string): Promise<GatewayResource>;
    update(
      name: string,
      changes: GatewayChanges,
      options: { readonly etag?: string; readonly dryRun: boolean },
    ): Promise<GatewayResource>;
    setCordoned(name: string, cordoned: boolean): Promise<GatewayResource>;
    /** @param revision The gateway's revision whose removals are meant. */
    allowMassRemoval(name: string, revision: number): Promise<GatewayResource>;
    delete(name: string, options: { readonly etag?: string }): Promise<void>;
    createJoinToken(name: string, options: { readonly ttlSeconds?: number; readonly sourceCidr?: string }): Promise<JoinToken>;
    watch(name: string, signal: AbortSignal): AsyncGenerator<GatewayResource>;
  };
  readonly events: {
    /** Newest first. */
    list(filter: {
      readonly gateway?: string;
      readonly forward?: string;
      readonly egress?: string;
    }): AsyncGenerator<EventResource>;
  };
  close(): void;
}
