import { Injectable } from '@nestjs/common';
import type { Tx } from '../database/database.js';

/** What an agent says about itself at the start of a session, cleaned. */
export interface AgentFacts {
  readonly agentVersion: string;
  readonly hostname: string;
  readonly kernel: string;
  readonly driver: string;
  /** Array of gwctl.v1.Capability as protobuf JSON. */
  readonly capabilities: unknown;
  /** Random per start of the agent. */
  readonly instance: string;
}

export interface SessionStart {
  readonly gatewayUid: string;
  readonly sessionUid: string;
  readonly replicaUid: string;
  readonly source: string;
  readonly facts: AgentFacts;
  readonly acceptedRevision: bigint;
  readonly appliedRevision: bigint;
}

/** What the database says about a gateway that has a session here. */
export interface SessionStanding {
  readonly gatewayUid: string;
  readonly sessionUid: string | undefined;
  readonly epoch: string;
  readonly revision: bigint;
  readonly cordoned: boolean;
  /** The revision whose removals an operator asked for. */
  readonly massRemoval: bigint | undefined;
  /** Serial numbers that the gateway's agent may use. */
  readonly serials: readonly string[];
}

/** Which replica holds the session of which gateway. */
@Injectable()
export class SessionsRepository {
  /** The new session takes the gateway's place, whoever had it. Answers with the instance and source of a session that was live. */
  async begin(tx: Tx, start: SessionStart): Promise<{ readonly instance: string; readonly source: string } | undefined> {
    const { gatewayUid, facts } = start;
    // The counter row is not touched here: a reconnect storm must not queue behind writers.
    const [previous] = await tx.$queryRaw<{ instance: string; source: string }[]>`
      SELECT instance, source FROM live_sessions WHERE gateway_uid = ${gatewayUid}::uuid`;
    await tx.$executeRaw`
      INSERT INTO sessions (gateway_uid, session_uid, replica_uid, instance, source)
      VALUES (${gatewayUid}::uuid, ${start.sessionUid}::uuid, ${start.replicaUid}::uuid, ${facts.instance}, ${start.source})
      ON CONFLICT (gateway_uid) DO UPDATE
        SET session_uid = excluded.session_uid, replica_uid = excluded.replica_uid, instance = excluded.instance,
            source = excluded.source, connect_time = now(), heartbeat_time = now(), reported = false, end_time = NULL`;
    await tx.$executeRaw`
      UPDATE gateway_reports
         SET accepted_revision = ${start.acceptedRevision}::bigint, applied_revision = ${start.appliedRevision}::bigint,
             agent_version = ${facts.agentVersion}, hostname = ${facts.hostname}, kernel = ${facts.kernel}, driver = ${facts.driver},
             capabilities = ${JSON.stringify(facts.capabilities)}::jsonb
       WHERE gateway_uid = ${gatewayUid}::uuid`;
    return previous;
  }

  /** Marks a session as over, unless a newer one took its place. */
  async end(tx: Tx, sessionUid: string): Promise<void> {
    await tx.$executeRaw`UPDATE sessions SET end_time = now() WHERE session_uid = ${sessionUid}::uuid AND end_time IS NULL`;
  }

  /** Says that these sessions live. */
  async heartbeat(tx: Tx, sessionUids: readonly string[]): Promise<void> {
    await tx.$executeRaw`
      UPDATE sessions SET heartbeat_time = now() WHERE session_uid = ANY (${sessionUids as string[]}::uuid[]) AND end_time IS NULL`;
  }

  /** Ends what other replicas left: only where no other replica can be, with the embedded database. */
  async endAll(tx: Tx): Promise<void> {
    await tx.$executeRaw`UPDATE sessions SET end_time = heartbeat_time WHERE end_time IS NULL`;
  }

  /** Gateways that do not answer here were deleted. */
  async standing(tx: Tx, gatewayUids: readonly string[]): Promise<readonly SessionStanding[]> {
    const rows = await tx.$queryRaw<
      {
        gateway_uid: string;
        session_uid: string | null;
        epoch: string;
        revision: bigint;
        cordoned: boolean;
        mass_removal_revision: bigint | null;
        active_serial: string | null;
        pending_serial: string | null;
      }[]
    >`
      SELECT g.uid::text AS gateway_uid, s.session_uid::text, d.epoch::text, d.revision, g.cordoned, d.mass_removal_revision, i.active_serial, i.pending_serial
        FROM gateways g
        JOIN desired_states d ON d.gateway_uid = g.uid
        LEFT JOIN sessions s ON s.gateway_uid = g.uid AND s.end_time IS NULL
        LEFT JOIN identities i ON i.gateway_uid = g.uid
       WHERE g.uid = ANY (${gatewayUids as string[]}::uuid[])`;
    return rows.map((row) => ({
      gatewayUid: row.gateway_uid,
      sessionUid: row.session_uid ?? undefined,
      epoch: row.epoch,
      revision: row.revision,
      cordoned: row.cordoned,
      massRemoval: row.mass_removal_revision ?? undefined,
      serials: [row.active_serial, row.pending_serial].filter((serial) => serial !== null),
    }));
  }
}
