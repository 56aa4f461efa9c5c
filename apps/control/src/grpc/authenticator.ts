import type { PeerCertificate } from 'node:tls';
import type { Principal } from './call-context.js';

/** Turns credentials into a principal, or throws UNAUTHENTICATED or PERMISSION_DENIED. */
export interface Authenticator {
  operator(token: string): Promise<Extract<Principal, { kind: 'operator' }>>;
  /** @param certificate Chain and validity were checked by TLS; whom it speaks for was not. */
  agent(certificate: PeerCertificate): Promise<Extract<Principal, { kind: 'agent' }>>;
  /** A call was refused before its handler ran. */
  denied(call: { readonly method: string; readonly source: string; readonly requestId: string; readonly reason: string }): void;
}

/** Injection token of {@link Authenticator}. */
export const AUTHENTICATOR = Symbol('Authenticator');
