import { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { type ConnectionOptions, connect, type DetailedPeerCertificate, type TLSSocket } from 'node:tls';
import { AppError } from '@gwctl/shared/errors/app-error';
import { parseEndpoint, unreachable } from './endpoint.js';
import { fingerprintOf } from './identity.js';

/** Milliseconds for one TLS handshake. */
const HANDSHAKE_TIMEOUT = 10_000;

/**
 * Finds, in what the server presents, the CA whose fingerprint the join string carries, and proves that the server holds a
 * certificate of that CA for its own name. Nothing but the handshakes is sent. Returns the CA's certificate as PEM.
 * Throws CA_MISMATCH where another CA answers, CONTROL_PLANE_UNREACHABLE where nothing does.
 */
export async function findControlPlaneCa(server: string, caFingerprint: string): Promise<string> {
  const presented = await handshake(server, { rejectUnauthorized: false }, (socket) =>
    chainOf(socket.getPeerCertificate(true)),
  ).catch((error: unknown) => {
    throw unreachable(server, error);
  });
  const ca = presented.find((certificate) => fingerprintOf(certificate) === caFingerprint);
  if (!ca) throw caMismatch(server, caFingerprint, presented);
  const pem = ca.toString();
  // A CA's certificate is public, so anybody can present it. Only its owner can present a leaf that it signed.
  await handshake(server, { rejectUnauthorized: true, ca: pem }, () => undefined).catch((error: unknown) => {
    throw notThisServer(server, caFingerprint, presented, error);
  });
  return pem;
}

function handshake<T>(server: string, options: ConnectionOptions, read: (socket: TLSSocket) => T): Promise<T> {
  const { host, port } = parseEndpoint(server);
  return new Promise((resolve, reject) => {
    const socket = connect({
      host,
      port,
      // Server names in TLS are DNS names (RFC 6066 section 3).
      servername: isIP(host) ? '' : host,
      minVersion: 'TLSv1.3',
      ALPNProtocols: ['h2'],
      ...options,
    });
    const end = (settle: () => void) => {
      clearTimeout(timer);
      socket.destroy();
      settle();
    };
    const timer = setTimeout(
      () => end(() => reject(Object.assign(new Error('no TLS handshake in time'), { code: 'ETIMEDOUT' }))),
      HANDSHAKE_TIMEOUT,
    );
    socket.once('error', (error) => end(() => reject(error)));
    socket.once('close', () => end(() => reject(Object.assign(new Error('closed'), { code: 'ECONNRESET' }))));
    socket.once('secureConnect', () => {
      const value = read(socket);
      end(() => resolve(value));
    });
  });
}

/** Leaf first. The last one, where it is a root, names itself as its issuer. */
function chainOf(leaf: DetailedPeerCertificate): X509Certificate[] {
  const chain: X509Certificate[] = [];
  const seen = new Set<string>();
  for (let at: DetailedPeerCertificate | undefined = leaf; at?.raw; at = at.issuerCertificate) {
    if (seen.has(at.fingerprint256)) break;
    seen.add(at.fingerprint256);
    chain.push(new X509Certificate(at.raw));
  }
  return chain;
}

function caMismatch(server: string, expected: string, presented: readonly X509Certificate[], cause?: unknown): AppError {
  const root = presented.at(-1);
  const found = root ? fingerprintOf(root) : 'none';
  return new AppError({
    code: 'FAILED_PRECONDITION',
    reason: 'CA_MISMATCH',
    message: `${server} is not the control plane that made the join string: the join string expects the CA with SHA-256 fingerprint ${expected}, the server presents ${found}; the token was not sent. Check the address, and whether somebody stands in between; then make a new join string`,
    metadata: { server, expected, found },
    cause,
  });
}

function notThisServer(server: string, expected: string, presented: readonly X509Certificate[], cause: unknown): AppError {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  const leaf = presented[0];
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID')
    return new AppError({
      code: 'FAILED_PRECONDITION',
      reason: 'SERVER_NAME_MISMATCH',
      message: `${server} presents a certificate for other names (${leaf?.subjectAltName ?? 'none'}); the token was not sent. Start gwctl-control with --advertise ${server} and make a new join string`,
      cause,
    });
  if (code === 'CERT_NOT_YET_VALID' || code === 'CERT_HAS_EXPIRED')
    return new AppError({
      code: 'FAILED_PRECONDITION',
      reason: 'SERVER_CERTIFICATE_NOT_VALID_NOW',
      message: `${server} presents a certificate that is valid from ${leaf?.validFrom} to ${leaf?.validTo}, but the clock of this gateway says ${new Date().toUTCString()}; the token was not sent. Set the clock right`,
      cause,
    });
  if (code.startsWith('UNABLE_TO_') || code.startsWith('CERT_') || code.includes('SELF_SIGNED') || code.includes('INVALID_CA'))
    return caMismatch(server, expected, presented.slice(0, 1), cause);
  return unreachable(server, cause);
}
