import { randomUUID, timingSafeEqual } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import { Database } from '../database/database.js';

export interface OperatorToken {
  readonly uid: string;
  readonly name: string;
  readonly role: 'admin';
}

@Injectable()
export class OperatorTokensRepository {
  constructor(@Inject(Database) private readonly database: Database) {}

  /** The token with this hash, if it may be used now. */
  async find(hash: Uint8Array<ArrayBuffer>, now: number): Promise<OperatorToken | undefined> {
    const row = await this.database.run((tx) => tx.operatorToken.findUnique({ where: { hash } }));
    if (!row || timingSafeEqual(row.hash, hash) !== true) return undefined;
    if (row.revokeTime !== null || (row.expireTime !== null && row.expireTime.getTime() <= now)) return undefined;
    return row.role === 'admin' ? { uid: row.uid, name: row.name, role: row.role } : undefined;
  }

  async anyExists(): Promise<boolean> {
    return (await this.database.run((tx) => tx.operatorToken.count())) > 0;
  }

  /** Stores a token's hash unless one of that name is there. Answers whether it did. */
  async create(token: { readonly name: string; readonly hash: Uint8Array<ArrayBuffer> }): Promise<boolean> {
    const { count } = await this.database.run((tx) =>
      tx.operatorToken.createMany({ data: [{ uid: randomUUID(), role: 'admin', ...token }], skipDuplicates: true }),
    );
    return count === 1;
  }
}
