import { X509Certificate } from 'node:crypto';
import { type EnrolResponse, EnrolService } from '@gwctl/proto/gwctl/agent/v1/agent_pb';
import { parseName, parseUid } from '@gwctl/shared/domain/names';
import { AppError } from '@gwctl/shared/errors/app-error';
import { unary } from '@gwctl/shared/grpc/client';
import type { JoinString } from '@gwctl/shared/wire/join-string';
import { openClient } from '../control-link/channel.js';
import { certificatesOf, fingerprintOf, type Identity } from './identity.js';
import type { IdentityStore } from './identity-store.js';
import { certificateRequest, generateKey } from './key.js';
import { findControlPlaneCa } from './server-check.js';

export interface JoinOptions {
  readonly join: JoinString;
  readonly store: IdentityStore;
  readonly hostname: string;
  readonly agentVersion: string;
  /** Replace an identity that is already there. */
  readonly force: boolean;
}

/** Exchanges a join token for an identity. The token leaves only towards the CA that the join string names. */
export async function join(options: JoinOptions): Promise<Identity> {
  const { join, store } = options;
  if (!options.force && (await store.exists())) {
    const present = await store.load();
    throw new AppError({
      code: 'ALREADY_EXISTS',
      reason: 'ALREADY_JOINED',
      message: `this state directory already holds the identity of gateway ${present.gateway}; use another --state-dir, or --force to replace it`,
    });
  }
  const { server, ca } = await firstReachable(join);
  const draft = await store.draft(await generateKey());
  try {
    const response = await enrol(server, ca, options, await certificateRequest(draft.privateKey));
    const { certificateChain, caBundle } = response;
    const identity = { ...checkResponse(response, join), servers: join.servers, certificateChain, caBundle };
    return await store.commit(draft, identity, 'replaces');
  } catch (error) {
    await store.discard(draft);
    throw error;
  }
}

/** The first server that answers decides; one that answers with another CA ends it, since that is no accident. */
async function firstReachable(join: JoinString): Promise<{ server: string; ca: string }> {
  const failures: AppError[] = [];
  for (const server of join.servers) {
    try {
      return { server, ca: await findControlPlaneCa(server, join.caFingerprint) };
    } catch (error) {
      const failure = AppError.from(error);
      if (failure.code !== 'UNAVAILABLE') throw failure;
      failures.push(failure);
    }
  }
  const [only, ...others] = failures;
  if (only && others.length === 0) throw only;
  throw new AppError({
    code: 'UNAVAILABLE',
    reason: 'CONTROL_PLANE_UNREACHABLE',
    message: failures.map((f) => f.message).join('; '),
    cause: failures[0],
  });
}

async function enrol(server: string, ca: string, options: JoinOptions, csr: Uint8Array): Promise<EnrolResponse> {
  const client = openClient(server, { caBundle: ca });
  try {
    return await unary(
      client,
      EnrolService.method.enrol,
      { token: options.join.token, csr, hostname: options.hostname, agentVersion: options.agentVersion },
      { timeoutMs: 20_000 },
    );
  } finally {
    client.close();
  }
}

function checkResponse(response: EnrolResponse, join: JoinString): { gateway: string; gatewayUid: string } {
  const gateway = parseName(response.gateway);
  const gatewayUid = parseUid(response.gatewayUid);
  const bad = (what: string) =>
    new AppError({
      code: 'FAILED_PRECONDITION',
      reason: 'ENROL_ANSWER_INVALID',
      message: `the control plane's answer is not usable: ${what}`,
    });
  if (!gateway.ok) throw bad(gateway.error);
  if (!gatewayUid.ok) throw bad(gatewayUid.error);
  const roots: X509Certificate[] = certificatesOf(response.caBundle);
  if (!roots.some((root) => fingerprintOf(root) === join.caFingerprint))
    throw bad('its bundle of roots does not hold the CA that the join string names');
  return { gateway: gateway.value, gatewayUid: gatewayUid.value };
}
