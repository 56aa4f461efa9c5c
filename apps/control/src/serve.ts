import 'reflect-metadata';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Logger } from '@gwctl/shared/logging/logger';
import { NestFactory } from '@nestjs/core';
import { appModule } from './app.module.js';
import { Ca } from './ca/ca.js';
import { caPaths } from './ca/ca-files.js';
import { InstallationRepository } from './ca/installation.repository.js';
import { systemClock } from './config/clock.js';
import { type Config, formatAddress } from './config/config.js';
import { claimDataDir } from './config/data-dir.js';
import { type ConnectionOptions, Database } from './database/database.js';
import { EmbeddedPostgres } from './database/embedded/embedded-postgres.js';
import { migrate } from './database/migrate.js';
import { Notifications } from './database/notifications.js';
import { ServerAddresses } from './grpc/server-addresses.js';
import { cannotListen } from './grpc/tls-listener.js';
import { NestLogger } from './nest-logger.js';

/** A control plane that is up. */
export interface Running {
  /** HOST:PORT by which agents and operators reach it. */
  readonly advertised: readonly string[];
  /** HOST:PORT of /healthz and /readyz. */
  readonly http: string;
  /** Says GoAway, drains, ends the embedded database. */
  close(): Promise<void>;
}

/** Starts everything in order: directory, database, migrations, CA, then the application. A failure undoes what was begun. */
export async function serve(config: Config, logger: Logger): Promise<Running> {
  const closers: (() => Promise<void>)[] = [];
  const close = async (): Promise<void> => {
    for (const closer of closers.splice(0).reverse()) await closer();
  };
  const began = performance.now();
  try {
    claimDataDir(config.dataDir);
    const connection = await openDatabase(config, logger, closers);
    await migrate({ connection, logger });
    const database = new Database({ connection, logger });
    closers.push(() => database.close());
    const ca = await Ca.open({
      paths: caPaths(config.dataDir),
      repository: new InstallationRepository(database),
      clock: systemClock,
      logger,
    });
    const notifications = new Notifications({ connection, logger });
    closers.push(() => notifications.close());
    await notifications.start();
    const app = await NestFactory.create(appModule({ config, clock: systemClock, logger, database, notifications, ca }), {
      logger: new NestLogger(logger),
      abortOnError: false,
      // Nothing that is served over HTTP takes a body, and a kept-alive connection must not hold the shutdown.
      bodyParser: false,
      forceCloseConnections: true,
    });
    closers.push(() => app.close());
    await app.init();
    await app.listen(config.http.port, config.http.host).catch((error: Error) => {
      throw cannotListen(config.http, error);
    });
    const { advertised } = app.get(ServerAddresses);
    const { port } = (app.getHttpServer() as Server).address() as AddressInfo;
    const http = formatAddress({ host: config.http.host, port });
    logger.info({ http, ms: Math.round(performance.now() - began) }, 'control plane is up');
    return { advertised, http, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function openDatabase(config: Config, logger: Logger, closers: (() => Promise<void>)[]): Promise<ConnectionOptions> {
  if (config.database.kind === 'url') return { connectionString: config.database.url };
  const embedded = new EmbeddedPostgres({ root: config.dataDir, logger });
  closers.push(() => embedded.stop());
  return embedded.start();
}
