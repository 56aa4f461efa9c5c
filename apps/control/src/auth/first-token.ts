import { join } from 'node:path';
import type { Logger } from '@gwctl/shared/logging/logger';
import { writeAtomically } from '../ca/ca-files.js';
import type { OperatorTokensRepository } from './operator-tokens.repository.js';
import { hashSecret, newSecret, OPERATOR_TOKEN_PREFIX } from './secrets.js';

/**
 * At the first start, writes the first administrator's token to `admin.token` (0600), once. The file comes before the database
 * row, so a start that is killed between the two simply writes another.
 */
export async function writeFirstToken(options: {
  readonly dataDir: string;
  readonly tokens: OperatorTokensRepository;
  readonly logger: Logger;
}): Promise<void> {
  if (await options.tokens.anyExists()) return;
  const token = newSecret(OPERATOR_TOKEN_PREFIX);
  const path = join(options.dataDir, 'admin.token');
  await writeAtomically(path, `${token}\n`, 0o600);
  if (await options.tokens.create({ name: 'admin', hash: hashSecret(token) }))
    options.logger.info({ path }, 'wrote the first operator token; keep it, it is shown nowhere else');
}
