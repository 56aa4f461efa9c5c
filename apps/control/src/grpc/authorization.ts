import { randomUUID } from 'node:crypto';
import type { PeerCertificate } from 'node:tls';
import {
  type Metadata,
  ResponderBuilder,
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
  ServerListenerBuilder,
} from '@grpc/grpc-js';
import { AppError } from '@gwctl/shared/errors/app-error';
import type { Logger } from '@gwctl/shared/logging/logger';
import type { Authenticator } from './authenticator.js';
import { attachContext, type CallContext, type Principal } from './call-context.js';
import { publicStatus } from './error-status.js';
import { accessOf } from './policy.js';

const REQUEST_ID = /^[A-Za-z0-9._-]{1,64}$/;

/**
 * The one gate: every call of every method passes here before its handler exists. No method is open by default; a refusal ends
 * the call with a status and nothing else happens.
 */
export function authorizationInterceptor(options: {
  readonly authenticator: Authenticator;
  readonly logger: Logger;
  /** The connection from there has proved who it is. */
  readonly onAuthenticated: (address: string, port: number) => void;
  /** Server streams that are open: whoever aborts one with an AppError ends it with that. */
  readonly streams: Set<AbortController>;
}): ServerInterceptor {
  const { authenticator, logger, onAuthenticated, streams } = options;
  return (method, call) => {
    const gone = new AbortController();
    if (method.responseStream && !method.requestStream) streams.add(gone);
    const began = performance.now();
    const context = (metadata: Metadata): Omit<CallContext, 'principal'> => {
      const requestId = requestIdOf(metadata);
      const source = plainAddress(call.getConnectionInfo().remoteAddress ?? 'unknown');
      return {
        requestId,
        source,
        method: method.path,
        logger: logger.child({ requestId, method: method.path, source }),
        signal: gone.signal,
      };
    };
    let log: Logger | undefined;
    const listener = new ServerListenerBuilder()
      .withOnReceiveMetadata((metadata, next) => {
        const known = context(metadata);
        log = known.logger;
        authorise({ path: method.path, metadata, certificate: certificateOf(call), authenticator }).then(
          (principal) => {
            const { remoteAddress, remotePort } = call.getConnectionInfo();
            if (principal.kind !== 'anonymous' && remoteAddress && remotePort) onAuthenticated(remoteAddress, remotePort);
            attachContext(metadata, { ...known, principal });
            next(metadata);
          },
          (failure: unknown) => {
            const error = AppError.from(failure);
            if (error.code === 'INTERNAL') known.logger.error({ err: failure }, 'authorisation failed');
            else if (error.code === 'UNAUTHENTICATED' || error.code === 'PERMISSION_DENIED')
              authenticator.denied({ ...known, reason: error.reason });
            call.sendStatus(publicStatus(error, known.requestId));
          },
        );
      })
      .withOnCancel(() => {
        streams.delete(gone);
        gone.abort();
      })
      .build();
    const responder = new ResponderBuilder()
      .withStart((next) => next(listener))
      .withSendStatus((status, next) => {
        log?.debug({ code: status.code, ms: Math.round(performance.now() - began) }, 'call ended');
        next(status);
      })
      .build();
    return new ServerInterceptingCall(call, responder);
  };
}

async function authorise(call: {
  readonly path: string;
  readonly metadata: Metadata;
  readonly certificate: PeerCertificate | undefined;
  readonly authenticator: Authenticator;
}): Promise<Principal> {
  const access = accessOf(call.path);
  if (access === undefined) throw denied('METHOD_NOT_ALLOWED', 'this method is not open to anybody');
  if (access === 'public') return { kind: 'anonymous' };
  const token = bearerToken(call.metadata);
  if (access === 'agent') {
    if (call.certificate) return call.authenticator.agent(call.certificate);
    if (token !== undefined) throw denied('AGENTS_ONLY', 'this method is for agents, which prove themselves by certificate');
    throw unauthenticated('no client certificate; agents get one by "gwctl-agent join"');
  }
  // One credential decides. A certificate of an agent beside a token is a mistake or an attempt.
  if (call.certificate) throw denied('OPERATORS_ONLY', 'this method is for operators; an agent cannot call it');
  if (token === undefined) throw unauthenticated('no operator token; run "gwctl login"');
  return call.authenticator.operator(token);
}

function bearerToken(metadata: Metadata): string | undefined {
  const [value, second] = metadata.get('authorization');
  if (value === undefined) return undefined;
  if (second !== undefined || typeof value !== 'string') throw unauthenticated('more than one authorization header');
  return /^Bearer (\S+)$/i.exec(value)?.[1];
}

function certificateOf(call: ServerInterceptingCallInterface): PeerCertificate | undefined {
  return call.getAuthContext().sslPeerCertificate;
}

function requestIdOf(metadata: Metadata): string {
  const [value] = metadata.get('x-request-id');
  return typeof value === 'string' && REQUEST_ID.test(value) ? value : randomUUID();
}

/** A listener on :: sees IPv4 peers as ::ffff:A.B.C.D; tokens and people speak of A.B.C.D. */
const plainAddress = (address: string): string => address.replace(/^::ffff:(?=\d+\.)/, '');

const denied = (reason: string, message: string): AppError => new AppError({ code: 'PERMISSION_DENIED', reason, message });
const unauthenticated = (message: string): AppError =>
  new AppError({ code: 'UNAUTHENTICATED', reason: 'NO_CREDENTIALS', message });
