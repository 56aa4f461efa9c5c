import { IdentityService } from '@gwctl/proto/gwctl/agent/v1/agent_pb';
import { AppError } from '@gwctl/shared/errors/app-error';
import { unary } from '@gwctl/shared/grpc/client';
import type { Logger } from '@gwctl/shared/logging/logger';
import type { Clock, Random, Timer } from '../clock.js';
import { openClient } from '../control-link/channel.js';
import type { Conditions } from '../status/conditions.js';
import type { Identity, Validity } from './identity.js';
import type { IdentityStore } from './identity-store.js';
import { certificateRequest } from './key.js';

/** Looked at at least this often, because the wall clock may jump and timers do not. Milliseconds. */
const LONGEST_WAIT = 600_000;
const SHORTEST_RETRY = 30_000;
/** An answer that was lost may still come; the attempt is over then, whatever happened. */
const RENEW_TIMEOUT = 20_000;

/** When to renew: at half the lifetime and up to a tenth later, so that a fleet that joined together does not renew together. */
export const renewalDue = ({ notBefore, notAfter }: Validity, chance: number): number =>
  notBefore + (notAfter - notBefore) * (0.5 + 0.1 * chance);

/** How long to wait after the `failures`th failure in a row: doubling up to an hour, half of it chance. */
export function renewalRetry(failures: number, chance: number): number {
  const longest = Math.min(3_600_000, SHORTEST_RETRY * 2 ** Math.min(failures, 10));
  return longest * (0.5 + 0.5 * chance);
}

export interface RenewalOptions {
  readonly store: IdentityStore;
  /** Asks the control plane, with the identity as it is. */
  readonly ask: (identity: Identity) => Promise<{ certificateChain: string; caBundle: string }>;
  readonly runtime: { readonly clock: Clock; readonly random: Random; readonly log: Logger };
  readonly conditions: Conditions;
  /** A new identity is on the disk and is to be used. */
  readonly onRenewed: (identity: Identity) => void;
}

/** Keeps the certificate fresh. Failing to is a condition, never a reason to stop forwarding. */
export class Renewal {
  private timer: Timer | undefined;
  private failures = 0;
  /** By the wall clock, as certificates are. */
  private due = 0;
  /** By the monotonic clock: a wall clock that is set back must not put the next attempt off for years. */
  private retryAt = 0;
  private stopped = false;

  constructor(private readonly options: RenewalOptions) {}

  start(identity: Identity): void {
    this.failures = 0;
    this.due = renewalDue(identity.validity, this.options.runtime.random());
    this.judge(identity);
    this.wait(identity);
  }

  stop(): void {
    this.stopped = true;
    this.timer?.cancel();
  }

  private wait(identity: Identity): void {
    const { clock } = this.options.runtime;
    if (this.stopped) return;
    this.timer?.cancel();
    const left = () => Math.max(0, this.due - clock.now(), this.retryAt - clock.monotonic());
    this.timer = clock.after(Math.min(LONGEST_WAIT, left()), () => {
      this.judge(identity);
      if (left() > 0) this.wait(identity);
      else void this.renew(identity);
    });
  }

  private async renew(identity: Identity): Promise<void> {
    const { store, ask, runtime, conditions, onRenewed } = this.options;
    try {
      const answer = await ask(identity);
      const draft = await store.draft(identity.privateKey);
      const { gateway, gatewayUid, servers } = identity;
      const renewed = await store.commit(draft, { gateway, gatewayUid, servers, ...answer }, 'renews');
      if (this.stopped) return;
      runtime.log.info({ until: new Date(renewed.validity.notAfter).toISOString() }, 'certificate renewed');
      conditions.clear('CertificateValid', 'the certificate was renewed');
      this.start(renewed);
      onRenewed(renewed);
    } catch (error) {
      if (this.stopped) return;
      const failure = AppError.from(error);
      runtime.log.warn({ err: error }, 'the certificate could not be renewed');
      this.retryAt = runtime.clock.monotonic() + renewalRetry(this.failures++, runtime.random());
      this.judge(identity, failure);
      this.wait(identity);
    }
  }

  /** Says what the clock and the certificate mean together. */
  private judge({ validity, gateway }: Identity, failure?: AppError): void {
    const { clock } = this.options.runtime;
    const { conditions } = this.options;
    const iso = (ms: number) => new Date(ms).toISOString();
    const now = clock.now();
    const why = failure ? ` (last attempt: ${failure.message})` : '';
    if (now > validity.notAfter)
      conditions.raise(
        'CertificateValid',
        'CERTIFICATE_EXPIRED',
        `the certificate expired at ${iso(validity.notAfter)}${why}; forwards stay as they are. If it cannot be renewed, run "gwctl gateway token ${gateway}" and join again with --force`,
      );
    else if (now < validity.notBefore)
      conditions.raise(
        'CertificateValid',
        'CERTIFICATE_NOT_YET_VALID',
        `the certificate is valid from ${iso(validity.notBefore)}, but this gateway's clock says ${iso(now)}; set the clock right`,
      );
    else if (failure)
      conditions.raise(
        'CertificateValid',
        'RENEWAL_FAILED',
        `the certificate could not be renewed: ${failure.message}; it is good until ${iso(validity.notAfter)}, and it is tried again`,
      );
    else conditions.clear('CertificateValid', `the certificate is good until ${iso(validity.notAfter)}`);
  }
}

/** Asks the first server that answers, over a connection of its own. */
export async function askControlPlane(identity: Identity): Promise<{ certificateChain: string; caBundle: string }> {
  const csr = await certificateRequest(identity.privateKey);
  let failure: unknown;
  for (const server of identity.servers) {
    const client = openClient(server, identity);
    try {
      const { certificateChain, caBundle } = await unary(
        client,
        IdentityService.method.renew,
        { csr },
        { timeoutMs: RENEW_TIMEOUT },
      );
      return { certificateChain, caBundle };
    } catch (error) {
      failure = error;
    } finally {
      client.close();
    }
  }
  throw failure;
}
