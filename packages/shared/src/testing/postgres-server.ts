import { request } from 'node:http';

/** A PostgreSQL for a test run. */
export interface TestServer {
  /** Of a user that may create databases. */
  readonly url: string;
  stop(): Promise<void>;
}

const DOCKER_SOCKET = '/var/run/docker.sock';
const IMAGE = 'postgres:18-alpine';

/**
 * One PostgreSQL for a whole test run: a container where a Docker engine answers, otherwise what `embedded` starts.
 * @param embedded Starts a PostgreSQL without Docker.
 */
export async function startTestServer(embedded: () => Promise<TestServer>): Promise<TestServer> {
  return (await dockerAnswers()) ? startContainer() : embedded();
}

async function startContainer(): Promise<TestServer> {
  const { GenericContainer, Wait } = await import('testcontainers');
  const container = await new GenericContainer(IMAGE)
    .withEnvironment({ POSTGRES_USER: 'gwctl', POSTGRES_PASSWORD: 'test-only', POSTGRES_DB: 'postgres' })
    .withExposedPorts(5432)
    // The image starts the server twice: once to initialise, once to serve.
    .withWaitStrategy(Wait.forLogMessage(/ready to accept connections/, 2))
    .start();
  return {
    url: `postgresql://gwctl:test-only@${container.getHost()}:${container.getMappedPort(5432)}/postgres`,
    stop: async () => {
      await container.stop();
    },
  };
}

function dockerAnswers(): Promise<boolean> {
  return new Promise((resolve) => {
    const ping = request({ socketPath: DOCKER_SOCKET, path: '/_ping', timeout: 2_000 }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    ping.once('error', () => resolve(false));
    ping.once('timeout', () => ping.destroy());
    ping.end();
  });
}
