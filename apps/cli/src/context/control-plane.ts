/** What commands ask of a control plane, in resources; nothing of the wire is seen beyond this folder. */
import type { PlacementStateWord } from '@gwctl/shared/domain/status';
import type { Labels } from '../flags/labels.js';
import type { EventResource } from '../resources/event.js';
import type { ForwardResource } from '../resources/forward.js';
import type { ForwardChanges, NewForward } from '../resources/forward-input.js';
import type { GatewayResource } from '../resources/gateway.js';
import type { Identity, SystemStatusResource } from '../resources/system.js';

export interface ForwardFilter {
  readonly gateway?: string;
  readonly labels?: Labels;
  readonly owner?: string;
  readonly state?: PlacementStateWord;
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

/** Lists yield every entry, page by page as they are read. Watches begin with what is, and end without an error when aborted. */
export interface ControlPlane {
  readonly system: {
    whoAmI(): Promise<Identity>;
    status(): Promise<SystemStatusResource>;
  };
  readonly forwards: {
    create(forward: NewForward, options: { readonly requestId: string; readonly dryRun: boolean }): Promise<ForwardResource>;
    get(name: string): Promise<ForwardResource>;
    list(filter: ForwardFilter): AsyncGenerator<ForwardResource>;
    update(
      name: string,
      changes: ForwardChanges,
      options: { readonly etag?: string; readonly dryRun: boolean },
    ): Promise<ForwardResource>;
    delete(name: string, options: { readonly etag?: string; readonly dryRun: boolean }): Promise<readonly GatewayRevision[]>;
    watch(name: string, signal: AbortSignal): AsyncGenerator<ForwardResource>;
  };
  readonly gateways: {
    create(name: string, labels: Labels, options: { readonly requestId: string }): Promise<GatewayResource>;
    get(name: string): Promise<GatewayResource>;
    list(labels: Labels): AsyncGenerator<GatewayResource>;
    setLabels(name: string, labels: Labels, etag: string): Promise<GatewayResource>;
    setCordoned(name: string, cordoned: boolean): Promise<GatewayResource>;
    delete(name: string, options: { readonly etag?: string }): Promise<void>;
    createJoinToken(name: string, options: { readonly ttlSeconds?: number; readonly sourceCidr?: string }): Promise<JoinToken>;
    watch(name: string, signal: AbortSignal): AsyncGenerator<GatewayResource>;
  };
  readonly events: {
    /** Newest first. */
    list(filter: { readonly gateway?: string; readonly forward?: string }): AsyncGenerator<EventResource>;
  };
  close(): void;
}
