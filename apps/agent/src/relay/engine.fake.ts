import type {
  Engine,
  EngineOptions,
  EngineUse,
  ForwardCounts,
  ListenFailure,
  ListeningSocket,
  RelayFlow,
  TargetCounts,
} from './engine.js';
import type { RelayedForward } from './types.js';

const listenersOf = ({ listen }: RelayedForward): string[] =>
  listen.transports.flatMap((t) =>
    Array.from({ length: listen.ports.last - listen.ports.first + 1 }, (_, i) => `${t} ${listen.ports.first + i}`),
  );

/** An engine without traffic: listeners are names, each held by one forward, and flows are numbers that a test sets. */
export class FakeEngine implements Engine {
  readonly name = 'portable';
  readonly forwards = new Map<string, RelayedForward>();
  readonly log: string[] = [];
  /** Ports that somebody else has. */
  readonly taken = new Set<number>();
  /** Listeners that died: `tcp 80`. */
  readonly dead = new Set<string>();
  readonly targets = new Map<string, readonly TargetCounts[]>();
  /** Counted of a forward otherwise than of all. */
  readonly counted = new Map<string, Partial<Omit<ForwardCounts, 'uid'>>>();
  readonly flowing: RelayFlow[] = [];
  descriptors: ListeningSocket[] = [];
  inUse: EngineUse = { connections: 0, clients: 0, pipes: 0, descriptors: 20, descriptorLimit: 1024, paused: false };
  options: EngineOptions = { inherited: [] };
  stopped = false;
  readonly #holders = new Map<string, string>();
  #drained: (() => void) | undefined;

  /** What is given to whoever opens an engine. */
  open = async (options: EngineOptions): Promise<Engine> => {
    this.options = options;
    return this;
  };

  async set(forward: RelayedForward): Promise<ListenFailure | undefined> {
    const wanted = listenersOf(forward);
    for (const name of wanted) {
      const port = Number(name.split(' ')[1]);
      const holder = this.#holders.get(name) ?? forward.uid;
      if (this.taken.has(port) || holder !== forward.uid)
        return {
          reason: 'PORT_IN_USE',
          message: `port ${port} is taken by ${holder === forward.uid ? 'somebody else' : holder}`,
        };
    }
    this.log.push(`set ${forward.uid}`);
    this.#letGo(forward.uid);
    for (const name of wanted) {
      this.dead.delete(name);
      this.#holders.set(name, forward.uid);
    }
    this.forwards.set(forward.uid, forward);
    return undefined;
  }

  async remove(uid: string): Promise<void> {
    this.log.push(`remove ${uid}`);
    this.#letGo(uid);
    this.forwards.delete(uid);
  }

  #letGo(uid: string): void {
    const old = this.forwards.get(uid);
    for (const name of old ? listenersOf(old) : []) this.#holders.delete(name);
  }

  async counts(): Promise<readonly ForwardCounts[]> {
    return [...this.forwards.keys()].map((uid) => ({
      uid,
      bytes: 10,
      datagrams: 0,
      flows: 1,
      refused: 2,
      limited: 0,
      failed: 0,
      open: 0,
      targets: this.targets.get(uid) ?? [],
      ...this.counted.get(uid),
    }));
  }

  async flows({ uid, most }: { readonly uid?: string; readonly most: number }): Promise<readonly RelayFlow[]> {
    return this.flowing.filter((f) => uid === undefined || f.uid === uid).slice(0, most);
  }

  async use(): Promise<EngineUse> {
    return this.inUse;
  }

  async listening(): Promise<readonly ListeningSocket[]> {
    if (this.descriptors.length > 0) return this.descriptors;
    return [...this.forwards.values()].flatMap((forward) =>
      listenersOf(forward)
        .filter((name) => !this.dead.has(name))
        .map((name) => {
          const [transport, port] = name.split(' ');
          return {
            transport: transport === 'udp' ? 'udp' : 'tcp',
            address: forward.listen.address?.text ?? '0.0.0.0',
            port: Number(port),
            fd: -1,
          } as const;
        }),
    );
  }

  async drain(): Promise<void> {
    this.log.push('drain');
    if (this.inUse.connections === 0) return;
    await new Promise<void>((resolve) => {
      this.#drained = resolve;
    });
  }

  /** The last flow ends. */
  flowsEnd(): void {
    this.inUse = { ...this.inUse, connections: 0 };
    this.#drained?.();
  }

  async stop(): Promise<void> {
    this.stopped = true;
    this.#drained?.();
  }
}
