import 'reflect-metadata';
import * as x509 from '@peculiar/x509';

/** A CA made for one test, and a server certificate of its. PEM. */
export interface TestCertificates {
  readonly ca: string;
  readonly certificate: string;
  readonly key: string;
}

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const DAY_MS = 86_400_000;

/** `names`: what stands in the certificate, DNS names or addresses. `days` is its life, negative for one that has expired. */
export async function makeCertificates(options: {
  readonly names: readonly string[];
  readonly days?: number;
}): Promise<TestCertificates> {
  const provider = globalThis.crypto;
  const now = Date.now();
  const days = options.days ?? 1;
  const notBefore = new Date(now - (days < 0 ? 2 - days : 1) * DAY_MS);
  const caKeys = await provider.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const ca = await x509.X509CertificateGenerator.createSelfSigned(
    {
      serialNumber: '01',
      name: 'CN=gwctl test CA',
      notBefore,
      notAfter: new Date(now + 30 * DAY_MS),
      keys: caKeys,
      signingAlgorithm: ALGORITHM,
      extensions: [
        new x509.BasicConstraintsExtension(true, 0, true),
        await x509.SubjectKeyIdentifierExtension.create(caKeys.publicKey),
      ],
    },
    provider,
  );
  const keys = await provider.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const leaf = await x509.X509CertificateGenerator.create(
    {
      serialNumber: '02',
      subject: 'CN=gwctl test control plane',
      issuer: ca.subject,
      notBefore,
      notAfter: new Date(now + days * DAY_MS),
      publicKey: keys.publicKey,
      signingKey: caKeys.privateKey,
      signingAlgorithm: ALGORITHM,
      extensions: [
        new x509.SubjectAlternativeNameExtension(
          options.names.map((value) => ({ type: /^[\d.]+$|:/.test(value) ? ('ip' as const) : ('dns' as const), value })),
        ),
        new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      ],
    },
    provider,
  );
  const der = Buffer.from(await provider.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64');
  const key = `-----BEGIN PRIVATE KEY-----\n${der.replace(/.{64}/g, '$&\n')}\n-----END PRIVATE KEY-----\n`;
  return { ca: ca.toString('pem'), certificate: leaf.toString('pem'), key };
}
