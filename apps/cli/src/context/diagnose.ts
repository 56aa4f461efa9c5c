import { isIP } from 'node:net';
import { connect } from 'node:tls';
import { CliError } from '../errors/cli-error.js';
import type { Server } from '../flags/server.js';

/** Milliseconds that the look at the connection may take. */
const PATIENCE_MS = 3000;

const UNTRUSTED = new Set([
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'CERT_SIGNATURE_FAILURE',
  'CERT_UNTRUSTED',
  'INVALID_CA',
]);

/** Finds out why nobody answered, by connecting once more and looking closely: gRPC's own status only says "unavailable". */
export async function diagnose(options: {
  readonly server: Server;
  readonly ca: string;
  readonly cause: Error;
}): Promise<CliError> {
  const code = await attempt(options.server, options.ca);
  return new CliError({ kind: 'error', ...explain(options.server, code, options.cause.message), cause: options.cause });
}

/** What node:tls adds to an error about the certificate. */
interface TlsError extends NodeJS.ErrnoException {
  readonly cert?: { readonly subjectaltname?: string };
}

/** `message` holds the certificate's names where the name was wrong. */
type Outcome = { readonly code: string; readonly message: string } | 'connected';

function attempt(server: Server, ca: string): Promise<Outcome> {
  return new Promise((resolve) => {
    const socket = connect({
      host: server.host,
      port: server.port,
      ca,
      ALPNProtocols: ['h2'],
      ...(isIP(server.host) ? {} : { servername: server.host }),
    });
    const done = (outcome: Outcome) => {
      socket.destroy();
      resolve(outcome);
    };
    socket.setTimeout(PATIENCE_MS, () => done({ code: 'ETIMEDOUT', message: 'no answer' }));
    socket.once('secureConnect', () => done('connected'));
    socket.once('error', (error: TlsError) =>
      done({ code: error.code ?? '', message: error.cert?.subjectaltname ?? error.message }),
    );
  });
}

/** What and why, and what to do, for each way in which a connection fails. */
export function explain(server: Server, outcome: Outcome, said: string): { message: string; hint: string } {
  const at = `the control plane at ${server.text}`;
  const cannot = (why: string) => `cannot reach ${at}: ${why}`;
  if (outcome === 'connected')
    return { message: `the connection to ${at} was lost: ${said}`, hint: 'it may be starting or leaving; try again' };
  const { code, message } = outcome;
  if (UNTRUSTED.has(code))
    return {
      message: `do not trust ${at}: its certificate was not signed by the CA that you gave`,
      hint: 'use the ca.crt of this very control plane (in its data directory); if it is the right one, something else answers there',
    };
  switch (code) {
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return {
        message: `do not trust ${at}: its certificate is for another name (${message})`,
        hint: 'use a name that stands in it, or start gwctl-control with --advertise HOST:PORT for this one',
      };
    case 'CERT_HAS_EXPIRED':
    case 'CERT_NOT_YET_VALID':
      return {
        message: `do not trust ${at}: its certificate ${code === 'CERT_HAS_EXPIRED' ? 'has expired' : 'is not valid yet'}`,
        hint: 'compare the clocks of both machines, and look into the log of gwctl-control',
      };
    case 'ECONNREFUSED':
      return {
        message: cannot('connection refused'),
        hint: 'check that gwctl-control serve runs and listens at this address and port',
      };
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return {
        message: cannot(`the name ${server.host} does not resolve`),
        hint: 'check its spelling and your DNS, or use an address',
      };
    case 'ETIMEDOUT':
      return { message: cannot('no answer'), hint: 'check the address, and whether a firewall on the way drops the port' };
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
      return { message: cannot('no route to it'), hint: 'check the address and your network' };
    case 'ECONNRESET':
      return {
        message: cannot('the connection was reset'),
        hint: 'check that this port is the one of --listen and not of --http',
      };
    default:
      if (code === 'EPROTO' || code.startsWith('ERR_SSL'))
        return {
          message: cannot('what answers there does not speak TLS as gwctl-control does'),
          hint: 'check that this port is the one of --listen and not of --http',
        };
      return {
        message: cannot(message === '' ? said : message),
        hint: 'check the address, and that gwctl-control serve runs there',
      };
  }
}
