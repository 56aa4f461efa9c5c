import { randomUUID } from 'node:crypto';
import type { Database, Tx } from '../database/database.js';

export interface Installation {
  readonly uid: string;
  readonly epoch: string;
  readonly caFingerprint: string;
}

/** What this database is: one row, made at the first start. */
export class InstallationRepository {
  constructor(private readonly database: Database) {}

  find(): Promise<Installation | undefined> {
    return this.database.run(async (tx) => (await tx.installation.findUnique({ where: { id: 1 } })) ?? undefined);
  }

  /** Writes the row unless another replica was first; answers with the row that stands. */
  async create(made: { readonly uid: string; readonly epoch: string; readonly caFingerprint: string }): Promise<Installation> {
    return this.database.transaction(async (tx) => {
      const databaseIdentity = await readDatabaseIdentity(tx);
      await tx.installation.createMany({ data: [{ ...made, databaseIdentity }], skipDuplicates: true });
      return tx.installation.findUniqueOrThrow({ where: { id: 1 } });
    });
  }

  /**
   * Gives the database a new epoch where it is not the one that the present epoch was made in: restored from a dump (another
   * oid), recovered to a point in time (another timeline), or moved to another cluster. Answers whether it did.
   */
  async renewEpochIfRestored(epoch: string): Promise<boolean> {
    return this.database.transaction(async (tx) => {
      const databaseIdentity = await readDatabaseIdentity(tx);
      const { count } = await tx.installation.updateMany({
        where: { id: 1, NOT: { databaseIdentity } },
        data: { epoch, databaseIdentity },
      });
      if (count === 0) return false;
      await tx.desiredState.updateMany({ data: { epoch } });
      await tx.auditEntry.create({
        data: {
          uid: randomUUID(),
          actor: 'control',
          source: '',
          requestId: randomUUID(),
          method: 'NewEpoch',
          resource: 'installation',
          after: { epoch, databaseIdentity },
          result: 'OK',
        },
      });
      return true;
    });
  }
}

async function readDatabaseIdentity(tx: Tx): Promise<string> {
  const [row] = await tx.$queryRaw<{ identity: string }[]>`
    SELECT format('%s/%s/%s', (pg_control_system()).system_identifier, (pg_control_checkpoint()).timeline_id, oid) AS identity
      FROM pg_database WHERE datname = current_database()`;
  if (!row) throw new Error('the database does not know itself');
  return row.identity;
}
