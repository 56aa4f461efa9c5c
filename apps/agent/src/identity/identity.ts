import { createPrivateKey, X509Certificate } from 'node:crypto';
import { err, ok, type Result } from '@gwctl/shared/domain/result';

/** Who this agent is to the control plane, and whom it takes for the control plane. */
export interface Identity {
  readonly gateway: string;
  readonly gatewayUid: string;
  /** HOST:PORT, tried in order. */
  readonly servers: readonly string[];
  /** PKCS#8 PEM. */
  readonly privateKey: string;
  /** Leaf, then intermediates, PEM. */
  readonly certificateChain: string;
  /** Roots to trust, PEM. */
  readonly caBundle: string;
  readonly validity: Validity;
}

/** Milliseconds since the epoch. */
export interface Validity {
  readonly notBefore: number;
  readonly notAfter: number;
}

const PEM = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** Every certificate of a bundle. Throws when one of them is none. */
export function certificatesOf(pem: string): X509Certificate[] {
  return [...pem.matchAll(PEM)].map(([text]) => new X509Certificate(text));
}

/** SHA-256 over the DER, 64 lower-case hex digits. */
export const fingerprintOf = (certificate: X509Certificate): string =>
  certificate.fingerprint256.replaceAll(':', '').toLowerCase();

/**
 * Checks that a chain belongs to the key and was issued by a root of the bundle, and reads how long it holds. This finds files that do
 * not fit together before they are put to use; whom to trust is decided by TLS alone.
 */
export function checkCertificate(options: {
  readonly privateKey: string;
  readonly certificateChain: string;
  readonly caBundle: string;
}): Result<Validity, string> {
  let chain: X509Certificate[];
  let roots: X509Certificate[];
  try {
    chain = certificatesOf(options.certificateChain);
    roots = certificatesOf(options.caBundle);
  } catch (error) {
    return err(`a certificate cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
  const leaf = chain[0];
  const last = chain.at(-1);
  if (!leaf || !last) return err('the certificate chain is empty');
  if (roots.length === 0) return err('the bundle of roots is empty');
  if (!leaf.checkPrivateKey(createPrivateKey(options.privateKey))) return err('the certificate belongs to another key');
  const linked = chain.every((c, i) => {
    const issuer = chain[i + 1];
    return !issuer || (c.checkIssued(issuer) && c.verify(issuer.publicKey));
  });
  const rooted = roots.some((r) => r.fingerprint256 === last.fingerprint256 || (last.checkIssued(r) && last.verify(r.publicKey)));
  if (!linked || !rooted) return err('the certificate was not issued by the CA that came with it');
  return ok({ notBefore: leaf.validFromDate.getTime(), notAfter: leaf.validToDate.getTime() });
}
