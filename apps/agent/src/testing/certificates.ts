import 'reflect-metadata';
import { createPrivateKey, webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const DAY = 86_400_000;

export interface TestCa {
  readonly pem: string;
  /** SHA-256, lower-case hex. */
  readonly fingerprint: string;
  /** Key and chain (leaf, then CA) of a server. */
  server(hosts: readonly string[]): Promise<{ readonly key: string; readonly chain: string }>;
  /** A leaf for a certificate request. */
  sign(csr: Uint8Array, more?: { readonly notBefore?: number; readonly notAfter?: number }): Promise<string>;
}

/** A CA as a control plane has it. */
export async function makeCa(name = 'test CA'): Promise<TestCa> {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const ca = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: '01',
    name: `CN=${name}`,
    notBefore: new Date(Date.now() - DAY),
    notAfter: new Date(Date.now() + DAY),
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [new x509.BasicConstraintsExtension(true, 0, true)],
  });
  let serial = 1;
  const issue = (publicKey: x509.PublicKeyType, options: { hosts?: readonly string[]; notBefore?: number; notAfter?: number }) =>
    x509.X509CertificateGenerator.create({
      serialNumber: (++serial).toString(16).padStart(4, '0'),
      subject: 'CN=leaf',
      issuer: ca.subject,
      notBefore: new Date(options.notBefore ?? Date.now() - 60_000),
      notAfter: new Date(options.notAfter ?? Date.now() + DAY),
      signingAlgorithm: ALGORITHM,
      publicKey,
      signingKey: keys.privateKey,
      extensions: options.hosts
        ? [
            new x509.SubjectAlternativeNameExtension(
              options.hosts.map((value) => ({ type: /^[\d.]+$/.test(value) ? ('ip' as const) : ('dns' as const), value })),
            ),
          ]
        : [],
    });
  return {
    pem: ca.toString('pem'),
    fingerprint: Buffer.from(await ca.getThumbprint('SHA-256')).toString('hex'),
    async server(hosts) {
      const pair = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
      const leaf = await issue(pair.publicKey, { hosts });
      const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', pair.privateKey));
      const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
        .export({ format: 'pem', type: 'pkcs8' })
        .toString();
      return { key, chain: `${leaf.toString('pem')}\n${ca.toString('pem')}\n` };
    },
    async sign(csr, more = {}) {
      return (await issue(new x509.Pkcs10CertificateRequest(csr).publicKey, more)).toString('pem');
    },
  };
}
