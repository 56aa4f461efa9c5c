import type { Logger } from '@gwctl/shared/logging/logger';
import { Global, Inject, Module, type OnModuleInit } from '@nestjs/common';
import { LOGGER } from '../config/clock.js';
import { CONFIG, type Config } from '../config/config.js';
import { Janitor } from '../database/janitor.js';
import { AUTHENTICATOR } from '../grpc/authenticator.js';
import { CredentialsAuthenticator, OperatorAuthenticator } from './credentials.authenticator.js';
import { EnrolGrpc } from './enrol.grpc.js';
import { EnrolmentsRepository } from './enrolments.repository.js';
import { writeFirstToken } from './first-token.js';
import { IdentitiesRepository } from './identities.repository.js';
import { IdentityGrpc } from './identity.grpc.js';
import { JoinTokensRepository } from './join-tokens.repository.js';
import { OperatorTokensRepository } from './operator-tokens.repository.js';

@Global()
@Module({
  providers: [
    OperatorTokensRepository,
    IdentitiesRepository,
    JoinTokensRepository,
    EnrolmentsRepository,
    OperatorAuthenticator,
    { provide: AUTHENTICATOR, useClass: CredentialsAuthenticator },
    EnrolGrpc,
    IdentityGrpc,
  ],
  exports: [AUTHENTICATOR, IdentitiesRepository, JoinTokensRepository],
})
export class AuthModule implements OnModuleInit {
  constructor(
    @Inject(Janitor) janitor: Janitor,
    @Inject(JoinTokensRepository) joinTokens: JoinTokensRepository,
    @Inject(CONFIG) private readonly config: Config,
    @Inject(LOGGER) private readonly logger: Logger,
    @Inject(OperatorTokensRepository) private readonly tokens: OperatorTokensRepository,
  ) {
    janitor.add('join tokens', (tx) => joinTokens.removeOld(tx));
  }

  async onModuleInit(): Promise<void> {
    await writeFirstToken({ dataDir: this.config.dataDir, tokens: this.tokens, logger: this.logger });
  }
}
