import 'reflect-metadata';
import { X509Certificate } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import { beforeAll, describe, expect, it } from 'vitest';
import { gatewayUidOf } from '../auth/credentials.authenticator.js';
import { makeKeyAndRequest } from '../testing/fake-agent.js';
import {
  type Authority,
  checkRequest,
  gatewayUri,
  issueAgentCertificate,
  issueServerCertificate,
  loadAuthority,
  makeAuthority,
  normaliseSerial,
} from './certificates.js';

const NOW = Date.UTC(2026, 10, 1);
const HOUR = 3_600_000;
const installation = '11111111-1111-4111-8111-111111111111';
const gatewayUid = '22222222-2222-4222-8222-222222222222';

describe('certificates', () => {
  let authority: Authority;
  beforeAll(async () => {
    const loaded = await loadAuthority(await makeAuthority(installation, NOW));
    if (!loaded.ok) throw new Error(loaded.error);
    authority = loaded.value;
  });

  it('of agents name the gateway, last 24 h, and can only be used as a client', async () => {
    const { csr } = await makeKeyAndRequest();
    const checked = await checkRequest(csr);
    if (!checked.ok) throw new Error(checked.error);
    const issued = await issueAgentCertificate(authority, {
      installation,
      gatewayUid,
      publicKey: checked.value.publicKey,
      now: NOW,
    });
    const certificate = new X509Certificate(issued.pem);
    expect(certificate.subjectAltName).toBe(`URI:${gatewayUri(installation, gatewayUid)}`);
    expect(certificate.ca).toBe(false);
    expect(certificate.keyUsage).toEqual(['1.3.6.1.5.5.7.3.2']);
    expect(Date.parse(certificate.validTo)).toBe(NOW + 24 * HOUR);
    expect(Date.parse(certificate.validFrom)).toBeLessThan(NOW);
    expect(certificate.verify(new X509Certificate(authority.certificatePem).publicKey)).toBe(true);
    expect(normaliseSerial(certificate.serialNumber)).toBe(issued.serial);
    const legacy = certificate.toLegacyObject();
    expect(gatewayUidOf(legacy, installation)).toBe(gatewayUid);
    expect(gatewayUidOf(legacy, gatewayUid)).toBeUndefined();
  });

  it('of the server cover what it is reached by', async () => {
    const issued = await issueServerCertificate(authority, {
      hosts: ['127.0.0.1', '::1', 'localhost', 'gw.example.net'],
      now: NOW,
    });
    const certificate = new X509Certificate(issued.certificatePem);
    expect(certificate.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1']);
    for (const host of ['localhost', 'gw.example.net']) expect(certificate.checkHost(host)).toBe(host);
    for (const ip of ['127.0.0.1', '::1']) expect(certificate.checkIP(ip)).toBe(ip);
  });

  it.each([
    ['more than one name', `URI:${gatewayUri(installation, gatewayUid)}, DNS:evil`],
    ['a longer path', `URI:${gatewayUri(installation, gatewayUid)}/x`],
    ['another scheme', `URI:spiffe://${installation}/gateway/${gatewayUid}`],
    ['no name', undefined],
  ])('with %s are no agent', (_, subjectaltname) => {
    const certificate = { ext_key_usage: ['1.3.6.1.5.5.7.3.2'], ...(subjectaltname ? { subjectaltname } : {}) };
    expect(gatewayUidOf(certificate as Parameters<typeof gatewayUidOf>[0], installation)).toBeUndefined();
  });

  it('are refused to requests that are broken, for another kind of key, or not signed by it', async () => {
    const { csr } = await makeKeyAndRequest();
    const tampered = new Uint8Array(csr);
    tampered[tampered.length - 3]! ^= 1;
    expect(await checkRequest(tampered)).toMatchObject({ ok: false });
    expect(await checkRequest(new Uint8Array(0))).toMatchObject({ ok: false });
    expect(await checkRequest(csr.slice(0, 50))).toMatchObject({ ok: false });
    const rsa = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256', publicExponent: new Uint8Array([1, 0, 1]), modulusLength: 2048 };
    const keys = await crypto.subtle.generateKey(rsa, true, ['sign', 'verify']);
    const other = await x509.Pkcs10CertificateRequestGenerator.create({ name: 'CN=x', keys, signingAlgorithm: rsa });
    expect(await checkRequest(new Uint8Array(other.rawData))).toMatchObject({ error: expect.stringContaining('P-256') });
  });

  it('need a key that belongs to the CA', async () => {
    const one = await makeAuthority(installation, NOW);
    const two = await makeAuthority(installation, NOW);
    expect(await loadAuthority({ ...one, keyPem: two.keyPem })).toMatchObject({
      error: expect.stringContaining('does not belong'),
    });
    expect(await loadAuthority({ ...one, keyPem: 'x' })).toMatchObject({ ok: false });
    expect(await loadAuthority({ ...one, certificatePem: 'x' })).toMatchObject({ ok: false });
  });
});
