import { createPrivateKey, createPublicKey, webcrypto } from 'node:crypto';

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256' };

/** A new ECDSA P-256 private key as PKCS#8 PEM. It is made on the gateway and never leaves it. */
export async function generateKey(): Promise<string> {
  const { privateKey } = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const der = await webcrypto.subtle.exportKey('pkcs8', privateKey);
  return createPrivateKey({ key: Buffer.from(der), format: 'der', type: 'pkcs8' })
    .export({ format: 'pem', type: 'pkcs8' })
    .toString();
}

/** A PKCS#10 request in DER for a key of {@link generateKey}. The control plane decides about the subject and ignores this one. */
export async function certificateRequest(keyPem: string): Promise<Uint8Array> {
  // Loaded where it is needed, twice a day: it weighs 20 MiB in memory, a fifth of what the agent may have.
  await import('reflect-metadata');
  const { Pkcs10CertificateRequestGenerator } = await import('@peculiar/x509');
  const key = createPrivateKey(keyPem);
  const [privateKey, publicKey] = await Promise.all([
    webcrypto.subtle.importKey('pkcs8', key.export({ format: 'der', type: 'pkcs8' }), ALGORITHM, false, ['sign']),
    webcrypto.subtle.importKey('spki', createPublicKey(key).export({ format: 'der', type: 'spki' }), ALGORITHM, true, ['verify']),
  ]);
  const request = await Pkcs10CertificateRequestGenerator.create({
    name: 'CN=gwctl-agent',
    keys: { privateKey, publicKey },
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
  });
  return new Uint8Array(request.rawData);
}
