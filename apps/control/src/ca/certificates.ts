import 'reflect-metadata';
import { createHash, randomBytes, webcrypto } from 'node:crypto';
import { err, ok, type Result } from '@gwctl/shared/domain/result';
import * as x509 from '@peculiar/x509';

x509.cryptoProvider.set(webcrypto);

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const DAY_MS = 86_400_000;
/** Certificates are valid from a while before now, for clocks that are behind ours. */
const BACKDATE_MS = 10 * 60_000;
const CA_YEARS = 10;

/** How long an agent's certificate is good for; it is renewed at half that. */
export const AGENT_CERTIFICATE_MS = DAY_MS;
export const SERVER_CERTIFICATE_MS = 30 * DAY_MS;

export interface KeyAndCertificate {
  /** PKCS#8, PEM. */
  readonly keyPem: string;
  readonly certificatePem: string;
}

/** A CA that can sign: its certificate, and its key as WebCrypto holds it. */
export interface Authority {
  readonly certificate: x509.X509Certificate;
  readonly certificatePem: string;
  readonly key: webcrypto.CryptoKey;
  /** SHA-256 of the certificate's DER, lower-case hex. */
  readonly fingerprint: string;
}

/** What a certificate request asks for: the key. Subject and extensions that it may carry are ignored. */
export interface CheckedRequest {
  readonly publicKey: x509.PublicKey;
  /** SHA-256 of the SubjectPublicKeyInfo. */
  readonly spki: Uint8Array;
}

export interface IssuedCertificate {
  readonly pem: string;
  /** Lower-case hex without leading zeros, as {@link normaliseSerial} gives it. */
  readonly serial: string;
  readonly expires: number;
}

/** `gwctl://INSTALLATION/gateway/UID`: who a certificate speaks for. */
export const gatewayUri = (installation: string, gatewayUid: string): string => `gwctl://${installation}/gateway/${gatewayUid}`;

/** One form for serial numbers, whichever library printed them. */
export const normaliseSerial = (hex: string): string => hex.toLowerCase().replace(/^0+(?=.)/, '');

export async function makeAuthority(installation: string, now: number): Promise<KeyAndCertificate> {
  const keys = await generateKeys();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: randomSerial(),
    name: `CN=gwctl CA ${installation}`,
    notBefore: new Date(now - BACKDATE_MS),
    notAfter: new Date(now + CA_YEARS * 365 * DAY_MS),
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { keyPem: await exportKey(keys.privateKey), certificatePem: `${certificate.toString('pem')}\n` };
}

/** Reads a CA, checks that the key belongs to the certificate. */
export async function loadAuthority(pair: KeyAndCertificate): Promise<Result<Authority, string>> {
  let certificate: x509.X509Certificate;
  try {
    certificate = new x509.X509Certificate(pair.certificatePem);
  } catch (error) {
    return err(`the certificate cannot be read (${(error as Error).message})`);
  }
  let key: webcrypto.CryptoKey;
  try {
    const der = x509.PemConverter.decodeFirst(pair.keyPem);
    key = await webcrypto.subtle.importKey('pkcs8', der, ALGORITHM, false, ['sign']);
  } catch (error) {
    return err(`the key cannot be read (${(error as Error).message})`);
  }
  const probe = randomBytes(16);
  const signature = await webcrypto.subtle.sign(ALGORITHM, key, probe);
  const publicKey = await certificate.publicKey.export(ALGORITHM, ['verify']);
  if ((await webcrypto.subtle.verify(ALGORITHM, publicKey, signature, probe)) !== true)
    return err('the key does not belong to the certificate');
  return ok({ certificate, certificatePem: pair.certificatePem, key, fingerprint: sha256Hex(certificate.rawData) });
}

/** Checks a PKCS#10 request: form, kind of key, and that whoever made it holds the key. */
export async function checkRequest(der: Uint8Array): Promise<Result<CheckedRequest, string>> {
  let request: x509.Pkcs10CertificateRequest;
  try {
    request = new x509.Pkcs10CertificateRequest(new Uint8Array(der));
  } catch {
    return err('is not a PKCS#10 certificate request in DER');
  }
  const algorithm = request.publicKey.algorithm as { name?: string; namedCurve?: string };
  if (algorithm.name !== 'ECDSA' || algorithm.namedCurve !== 'P-256') return err('must be for an ECDSA key on P-256');
  let valid: unknown;
  try {
    valid = await request.verify();
  } catch {
    valid = false;
  }
  if (valid !== true) return err('is not signed with the key that it asks a certificate for');
  return ok({ publicKey: request.publicKey, spki: sha256(new Uint8Array(request.publicKey.rawData)) });
}

/** The one function that issues to agents: the gateway's URI, client authentication only, 24 h. */
export async function issueAgentCertificate(
  authority: Authority,
  subject: {
    readonly installation: string;
    readonly gatewayUid: string;
    readonly publicKey: x509.PublicKey;
    readonly now: number;
  },
): Promise<IssuedCertificate> {
  return issue(authority, {
    publicKey: subject.publicKey,
    subject: `CN=${subject.gatewayUid}`,
    names: [{ type: 'url', value: gatewayUri(subject.installation, subject.gatewayUid) }],
    usage: x509.ExtendedKeyUsage.clientAuth,
    now: subject.now,
    lifetimeMs: AGENT_CERTIFICATE_MS,
  });
}

/** A certificate and fresh key for this replica, for what it is reached by. */
export async function issueServerCertificate(
  authority: Authority,
  subject: { readonly hosts: readonly string[]; readonly now: number },
): Promise<KeyAndCertificate & { readonly expires: number }> {
  const keys = await generateKeys();
  const names = [...new Set(subject.hosts)].map((host) => ({
    type: host.includes(':') || /^[\d.]+$/.test(host) ? ('ip' as const) : ('dns' as const),
    value: host,
  }));
  const issued = await issue(authority, {
    publicKey: keys.publicKey,
    subject: 'CN=gwctl-control',
    names,
    usage: x509.ExtendedKeyUsage.serverAuth,
    now: subject.now,
    lifetimeMs: SERVER_CERTIFICATE_MS,
  });
  return { keyPem: await exportKey(keys.privateKey), certificatePem: issued.pem, expires: issued.expires };
}

async function issue(
  authority: Authority,
  wanted: {
    readonly publicKey: x509.PublicKey | webcrypto.CryptoKey;
    readonly subject: string;
    readonly names: x509.JsonGeneralNames;
    readonly usage: string;
    readonly now: number;
    readonly lifetimeMs: number;
  },
): Promise<IssuedCertificate> {
  const expires = wanted.now + wanted.lifetimeMs;
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: randomSerial(),
    subject: wanted.subject,
    issuer: authority.certificate.subject,
    notBefore: new Date(wanted.now - BACKDATE_MS),
    notAfter: new Date(expires),
    signingKey: authority.key,
    signingAlgorithm: ALGORITHM,
    publicKey: wanted.publicKey,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([wanted.usage], true),
      new x509.SubjectAlternativeNameExtension(wanted.names),
      await x509.AuthorityKeyIdentifierExtension.create(authority.certificate.publicKey),
    ],
  });
  return { pem: `${certificate.toString('pem')}\n`, serial: normaliseSerial(certificate.serialNumber), expires };
}

const generateKeys = () => webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']) as Promise<webcrypto.CryptoKeyPair>;

async function exportKey(key: webcrypto.CryptoKey): Promise<string> {
  return `${x509.PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY')}\n`;
}

/** 127 random bits with the highest bit clear: positive in DER, as RFC 5280 section 4.1.2.2 wants it. */
function randomSerial(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes.toString('hex');
}

const sha256 = (data: Uint8Array): Uint8Array => createHash('sha256').update(data).digest();
const sha256Hex = (data: ArrayBuffer): string => createHash('sha256').update(new Uint8Array(data)).digest('hex');
