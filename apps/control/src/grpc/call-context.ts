import type { Metadata } from '@grpc/grpc-js';
import type { Logger } from '@gwctl/shared/logging/logger';

/** Who calls, as the credentials proved it. */
export type Principal =
  | { readonly kind: 'operator'; readonly uid: string; readonly name: string; readonly role: 'admin' }
  | { readonly kind: 'agent'; readonly gatewayUid: string; readonly gateway: string; readonly serial: string }
  | { readonly kind: 'anonymous' };

/** What a handler knows about its call besides the message. */
export interface CallContext {
  readonly principal: Principal;
  /** The caller's x-request-id, or one of ours: the same in log, audit and internal errors. */
  readonly requestId: string;
  /** The peer's IP address. */
  readonly source: string;
  /** Canonical: `/gwctl.v1.ForwardService/CreateForward`. */
  readonly method: string;
  readonly logger: Logger;
  /** Aborted when the caller is gone. */
  readonly signal: AbortSignal;
}

/** The caller as audit entries name it. */
export function actorOf(principal: Principal): string {
  if (principal.kind === 'operator') return `operator:${principal.name}`;
  return principal.kind === 'agent' ? `agent:${principal.gateway}` : 'anonymous';
}

/**
 * How the interceptor hands the context to the handler: grpc-js gives both the same Metadata object. A field inside the metadata
 * would be text that a caller could send too.
 */
const contexts = new WeakMap<Metadata, CallContext>();

export const attachContext = (metadata: Metadata, context: CallContext): void => {
  contexts.set(metadata, context);
};

export function contextOf(metadata: Metadata): CallContext {
  const context = contexts.get(metadata);
  if (!context) throw new Error('a call reached its handler without passing authorisation');
  return context;
}
