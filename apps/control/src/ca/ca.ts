import { randomUUID } from 'node:crypto';
import type { Logger } from '@gwctl/shared/logging/logger';
import type { Clock } from '../config/clock.js';
import { broken, type CaPaths, readCa, writeCa } from './ca-files.js';
import {
  type Authority,
  checkRequest,
  type IssuedCertificate,
  issueAgentCertificate,
  issueServerCertificate,
  type KeyAndCertificate,
  loadAuthority,
  makeAuthority,
} from './certificates.js';
import type { Installation, InstallationRepository } from './installation.repository.js';

/** The built-in certificate authority, and the installation that it speaks for. */
export class Ca {
  readonly installation: Installation;
  private readonly authority: Authority;
  private readonly clock: Clock;

  private constructor(options: { readonly installation: Installation; readonly authority: Authority; readonly clock: Clock }) {
    this.installation = options.installation;
    this.authority = options.authority;
    this.clock = options.clock;
  }

  /**
   * Loads the CA, or makes it at the very first start. It is never made a second time: agents would not trust it, so a lost CA
   * stops the start instead.
   */
  static async open(options: {
    readonly paths: CaPaths;
    readonly repository: InstallationRepository;
    readonly clock: Clock;
    readonly logger: Logger;
  }): Promise<Ca> {
    const { paths, repository, clock, logger } = options;
    const known = await repository.find();
    let pair = await readCa(paths);
    if (!pair) {
      if (known)
        throw broken(
          `${paths.certificate} and ${paths.key} are missing, but this database knows a CA (SHA-256 ${known.caFingerprint}); put them back from a backup`,
        );
      pair = await makeAuthority(randomUUID(), clock.now());
      await writeCa(paths, pair);
      logger.info({ path: paths.certificate }, 'made the certificate authority');
    }
    const authority = await loadAuthority(pair);
    if (!authority.ok) throw broken(`${paths.certificate}, ${paths.key}: ${authority.error}`);
    const { fingerprint } = authority.value;
    let installation = known ?? (await repository.create({ uid: randomUUID(), epoch: randomUUID(), caFingerprint: fingerprint }));
    if (installation.caFingerprint !== fingerprint)
      throw broken(
        `${paths.certificate} (SHA-256 ${fingerprint}) is not the CA of this database (${installation.caFingerprint}); put the right one back, or name the right --data-dir`,
      );
    const epoch = randomUUID();
    if (known && (await repository.renewEpochIfRestored(epoch))) {
      logger.warn({ epoch }, 'this database was restored or moved: new epoch, every agent gets its whole desired state anew');
      installation = { ...installation, epoch };
    }
    return new Ca({ installation, authority: authority.value, clock });
  }

  /** PEM of the roots that agents and operators are to trust. */
  get bundle(): string {
    return this.authority.certificatePem;
  }

  /** SHA-256 of the CA certificate, as join strings carry it. */
  get fingerprint(): string {
    return this.authority.fingerprint;
  }

  readonly checkRequest = checkRequest;

  issueToAgent(
    gatewayUid: string,
    publicKey: Parameters<typeof issueAgentCertificate>[1]['publicKey'],
  ): Promise<IssuedCertificate> {
    return issueAgentCertificate(this.authority, {
      installation: this.installation.uid,
      gatewayUid,
      publicKey,
      now: this.clock.now(),
    });
  }

  issueToServer(hosts: readonly string[]): Promise<KeyAndCertificate & { readonly expires: number }> {
    return issueServerCertificate(this.authority, { hosts, now: this.clock.now() });
  }
}
