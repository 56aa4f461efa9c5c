import { AppError } from '@gwctl/shared/errors/app-error';

/** Where a control plane listens. */
export interface Endpoint {
  /** Without brackets. */
  readonly host: string;
  readonly port: number;
}

/** Reads HOST:PORT, an IPv6 address in brackets. */
export function parseEndpoint(text: string): Endpoint {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:/[\]]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host !== undefined && port >= 1 && port <= 65535) return { host, port };
  throw new AppError({
    code: 'INVALID_ARGUMENT',
    reason: 'BAD_ENDPOINT',
    message: `${JSON.stringify(text)} is not HOST:PORT; the join string names such an address of the control plane`,
  });
}

/** What went wrong below TLS or in it, as one error that names the address and what to do. */
export function unreachable(server: string, cause: unknown): AppError {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  const why =
    {
      ECONNREFUSED: 'the connection was refused: nothing listens there',
      EHOSTUNREACH: 'there is no route to the host',
      ENETUNREACH: 'there is no route to the network',
      ETIMEDOUT: 'nothing answered in time',
      ENOTFOUND: 'the name does not exist in DNS',
      EAI_AGAIN: 'DNS did not answer',
      ECONNRESET: 'the connection was closed during the TLS handshake',
      EPROTO: 'what answered does not speak TLS 1.3',
      ERR_SSL_WRONG_VERSION_NUMBER: 'what answered does not speak TLS',
    }[code] ?? (cause instanceof Error ? cause.message : String(cause));
  return new AppError({
    code: 'UNAVAILABLE',
    reason: 'CONTROL_PLANE_UNREACHABLE',
    message: `the control plane at ${server} cannot be reached: ${why}; check that gwctl-control runs there, that it advertises this address, and that no firewall stands between`,
    metadata: { server },
    cause,
  });
}
