import { createSecureContext } from 'node:tls';
import { Client, credentials } from '@grpc/grpc-js';

/** What opens a channel: whom to trust, and, once joined, who we are. */
export interface ChannelIdentity {
  readonly caBundle: string;
  readonly privateKey?: string;
  readonly certificateChain?: string;
}

/** The largest message either side may send. */
export const MAX_MESSAGE_BYTES = 1024 * 1024;

/**
 * A gRPC client for one connection: TLS 1.3, exactly the given roots, the server's name checked. No proxy of the environment, no
 * retries and no reconnecting behind our back: whoever opens it decides when to try again.
 */
export function openClient(server: string, identity: ChannelIdentity): Client {
  const context = createSecureContext({
    minVersion: 'TLSv1.3',
    ca: identity.caBundle,
    ...(identity.privateKey === undefined ? {} : { key: identity.privateKey }),
    ...(identity.certificateChain === undefined ? {} : { cert: identity.certificateChain }),
  });
  return new Client(server, credentials.createFromSecureContext(context), {
    'grpc.keepalive_time_ms': 10_000,
    'grpc.keepalive_timeout_ms': 20_000,
    'grpc.keepalive_permit_without_calls': 1,
    'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
    'grpc.max_send_message_length': MAX_MESSAGE_BYTES,
    'grpc.enable_retries': 0,
    'grpc.enable_http_proxy': 0,
    'grpc.service_config_disable_resolution': 1,
    'grpc.use_local_subchannel_pool': 1,
    'grpc.client_idle_timeout_ms': 2 ** 31 - 1,
  });
}
