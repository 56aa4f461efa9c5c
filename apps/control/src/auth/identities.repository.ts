import { timingSafeEqual } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import type { Tx } from '../database/database.js';

/** A certificate that a gateway may use: its serial number and the key that it is pinned to. */
export interface PinnedCertificate {
  readonly serial: string;
  /** SHA-256 of the SubjectPublicKeyInfo. */
  readonly spki: Uint8Array;
}

/** Which certificates each gateway's agent may use: the active one, and a renewed one until it is first used. */
@Injectable()
export class IdentitiesRepository {
  /**
   * Whether this certificate is good for this gateway, by the gateway's name; undefined where it is not. The first use of a renewed
   * certificate makes it the active one, and the old one stops to work.
   */
  async recognise(tx: Tx, gatewayUid: string, presented: PinnedCertificate): Promise<{ readonly gateway: string } | undefined> {
    const row = await tx.identity.findUnique({ where: { gatewayUid }, include: { gateway: { select: { name: true } } } });
    if (!row) return undefined;
    const gateway = row.gateway.name;
    if (row.activeSerial === presented.serial && same(row.activeSpki, presented.spki)) return { gateway };
    const { pendingSerial, pendingSpki } = row;
    if (pendingSerial === null || pendingSpki === null) return undefined;
    if (pendingSerial !== presented.serial || !same(pendingSpki, presented.spki)) return undefined;
    await tx.identity.updateMany({
      where: { gatewayUid, pendingSerial },
      data: { activeSerial: pendingSerial, activeSpki: pendingSpki, pendingSerial: null, pendingSpki: null },
    });
    return { gateway };
  }

  /** Replaces whatever identity the gateway had: what it had before no longer works. */
  async enrol(tx: Tx, gatewayUid: string, certificate: PinnedCertificate): Promise<void> {
    const active = { activeSerial: certificate.serial, activeSpki: new Uint8Array(certificate.spki) };
    const fresh = { ...active, pendingSerial: null, pendingSpki: null, enrolTime: new Date() };
    await tx.identity.upsert({ where: { gatewayUid }, create: { gatewayUid, ...active }, update: fresh });
  }

  /** Notes a renewed certificate; the active one stays good until this one is used. */
  async renew(tx: Tx, gatewayUid: string, certificate: PinnedCertificate): Promise<void> {
    await tx.identity.update({
      where: { gatewayUid },
      data: { pendingSerial: certificate.serial, pendingSpki: new Uint8Array(certificate.spki) },
    });
  }

  /** Which of these (gateway, serial) pairs are still good. */
  async stillGood(tx: Tx, held: ReadonlyMap<string, string>): Promise<ReadonlySet<string>> {
    const rows = await tx.identity.findMany({
      where: { gatewayUid: { in: [...held.keys()] } },
      select: { gatewayUid: true, activeSerial: true, pendingSerial: true },
    });
    const good = rows.filter((r) => [r.activeSerial, r.pendingSerial].includes(held.get(r.gatewayUid) ?? ''));
    return new Set(good.map((r) => r.gatewayUid));
  }
}

const same = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && timingSafeEqual(a, b) === true;
