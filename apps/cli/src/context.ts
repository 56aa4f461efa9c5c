import { ConfigStore, type StoredContext } from './context/config-file.js';
import type { ControlPlane } from './context/control-plane.js';
import { CliError } from './errors/cli-error.js';
import { parseServer } from './flags/server.js';
import { escapeText } from './output/escape.js';
import type { Clock, System } from './system.js';

/** What the global options say. */
export interface Settings {
  /** Name of the context to use instead of the current one. */
  readonly context?: string | undefined;
  /** Milliseconds for one call. */
  readonly timeoutMs: number;
  readonly verbose: boolean;
}

/** What a command works with. */
export interface Context {
  readonly clock: Clock;
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal;
  readonly config: ConfigStore;
  /** Name given by --context. */
  readonly chosen: string | undefined;
  newId(): string;
  readStdin(): Promise<string>;
  /** One line of data on standard output, made safe for terminals. */
  print(line: string): void;
  /** A document that is already safe, as it is. */
  printDocument(text: string): void;
  /** One line of talk on standard error, made safe for terminals. */
  talk(line: string): void;
  /** The control plane of the context in use; the same one for every call. */
  controlPlane(): Promise<ControlPlane>;
  /** A control plane that is not in the config file (yet). */
  connect(to: Pick<StoredContext, 'server' | 'ca' | 'token'>): Promise<ControlPlane>;
  close(): void;
}

export function openContext(system: System, settings: Settings, signal: AbortSignal): Context {
  const open: ControlPlane[] = [];
  const config = new ConfigStore({ path: system.environment.configPath });
  const talk = (line: string) => system.stderr(`${escapeText(line)}\n`);
  let current: Promise<ControlPlane> | undefined;

  async function connect(to: Pick<StoredContext, 'server' | 'ca' | 'token'>): Promise<ControlPlane> {
    const server = parseServer(to.server);
    if (!server.ok) throw CliError.usage([{ field: '--server', description: server.error }]);
    // gRPC is most of the time that a start takes; commands that call nobody do not pay for it.
    const { openControlPlane } = await import('./context/grpc-control-plane.js');
    const controlPlane = openControlPlane({
      server: server.value,
      ca: to.ca,
      token: to.token,
      timeoutMs: settings.timeoutMs,
      signal,
      trace: settings.verbose ? talk : () => undefined,
      newId: system.newId,
      clock: system.clock,
    });
    open.push(controlPlane);
    return controlPlane;
  }

  return {
    clock: system.clock,
    signal,
    config,
    chosen: settings.context,
    newId: system.newId,
    readStdin: () => Promise.race([system.readStdin(), interruption(signal)]),
    print: (line) => system.stdout(`${escapeText(line)}\n`),
    printDocument: (text) => system.stdout(text),
    talk,
    controlPlane() {
      current ??= chooseContext(config, settings.context).then(connect);
      return current;
    },
    connect,
    close() {
      for (const controlPlane of open) controlPlane.close();
    },
  };
}

/** Fails once Ctrl-C was pressed. */
const interruption = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => {
    const fail = () => reject(new CliError({ kind: 'interrupted', message: 'interrupted' }));
    if (signal.aborted) fail();
    else signal.addEventListener('abort', fail, { once: true });
  });

/** The named context, or the current one. */
export async function chooseContext(config: ConfigStore, name: string | undefined): Promise<StoredContext> {
  const { contexts, current } = await config.read();
  const wanted = name ?? current;
  const found = contexts.find((c) => c.name === wanted);
  if (found) return found;
  if (contexts.length === 0)
    throw new CliError({
      kind: 'error',
      message: 'not logged in to any control plane',
      hint: 'gwctl login --server HOST:PORT --ca FILE --token-file FILE',
    });
  if (wanted === undefined)
    throw new CliError({ kind: 'error', message: 'no context is in use', hint: 'choose one: gwctl context use NAME' });
  throw new CliError({
    kind: name === undefined ? 'error' : 'not-found',
    message: `there is no context ${wanted} in ${config.path}`,
    details: [`it holds: ${contexts.map((c) => c.name).join(', ')}`],
    hint: 'choose one of these, or log in: gwctl login --context NAME ...',
  });
}
