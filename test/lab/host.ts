import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type CommandResult, runCommand, startProcess } from './command.js';
import { commandEnvironment, labMode } from './environment.js';
import { Prober } from './prober.js';
import type { ProberOptions } from './prober-protocol.js';
import { allProcesses, killIfThere, namespaceOf, type ProcessEntry } from './processes.js';
import { RunningProcess } from './running-process.js';
import { ask, type Flow, openFlow, serve, TrafficProcess, type WhoServer } from './traffic.js';
import type { FlowTarget, ListenerAddress, NoAnswer, WhoAnswer } from './traffic-protocol.js';
import { waitFor } from './wait-for.js';

/** Uid and gid of `asOrdinaryUser`: nobody's on Debian, and no root's. */
export const ordinaryUserId = 29_999;

export interface ExecOptions {
  /** Default 10 000; then the command is killed and the call fails. */
  timeoutMs?: number;
  stdin?: string;
  /** Beside the lab's small standard environment. */
  env?: Readonly<Record<string, string>>;
  /** Default: where the test runs. */
  cwd?: string;
  /** Return a failure (code other than 0) instead of throwing it. */
  allowFailure?: boolean;
  /** Run as a user that is not root, for programs that refuse root, such as PostgreSQL. Give it a directory with `lab.directory(name, { asOrdinaryUser: true })`. */
  asOrdinaryUser?: boolean;
}

export interface SpawnOptions extends Omit<ExecOptions, 'stdin' | 'allowFailure' | 'timeoutMs'> {
  /** Awaited before `spawn` returns: text in its output, or a TCP port that something on this host listens on. */
  ready?: RegExp | number;
  /** For `ready`. Default 10 000. */
  readyTimeoutMs?: number;
}

/** A host of the lab: a network namespace with a mount namespace (own /run and /sys) and a host name of its own. */
export class Host {
  readonly #processes: RunningProcess[] = [];
  /** Bind mounts, by where they are seen. */
  readonly #overlays = new Map<string, string>();
  #traffic: TrafficProcess | undefined;
  #holder: RunningProcess;

  constructor(
    readonly name: string,
    /** As in `ip netns`. */
    readonly namespace: string,
    holder: RunningProcess,
  ) {
    this.#holder = holder;
  }

  /** Process id of the process that holds the namespaces. */
  get holderPid(): number {
    return this.#holder.pid;
  }

  /** Inode of the network namespace. */
  get namespaceInode(): number {
    const inode = namespaceOf(this.holderPid, 'net');
    if (inode === undefined) throw new Error(`${this.name}: its namespaces are gone`);
    return inode;
  }

  /** Started by us and still running. */
  get processes(): readonly RunningProcess[] {
    return this.#processes.filter((p) => p.running);
  }

  /** The command line that runs `argv` inside this host from the lab's own namespaces. For programs that start others themselves. */
  wrap(argv: readonly string[], options: { cwd?: string; asOrdinaryUser?: boolean } = {}): string[] {
    // nsenter and env replace themselves, so the process id and signals are the program's. `ip netns exec` would make a
    // new mount namespace for each command.
    const enter = ['nsenter', '--target', String(this.holderPid), '--net', '--mount', '--uts', '--'];
    const id = String(ordinaryUserId);
    const user =
      labMode() === 'root'
        ? ['setpriv', `--reuid=${id}`, `--regid=${id}`, '--clear-groups', '--']
        : ['unshare', '--user', `--map-user=${id}`, `--map-group=${id}`, '--'];
    return [...enter, ...(options.asOrdinaryUser ? user : []), 'env', '-C', options.cwd ?? process.cwd(), ...argv];
  }

  /** Runs a command to its end. @throws CommandError with argv, code, stdout and stderr */
  exec(argv: readonly string[], options: ExecOptions = {}): Promise<CommandResult> {
    return runCommand(this.wrap(argv, options), {
      env: commandEnvironment(options.env),
      shownAs: [`${this.name}#`, ...argv],
      ...(options.timeoutMs === undefined ? {} : { timeoutMs: options.timeoutMs }),
      ...(options.stdin === undefined ? {} : { stdin: options.stdin }),
      ...(options.allowFailure === undefined ? {} : { allowFailure: options.allowFailure }),
    });
  }

  /** Starts a program that keeps running; it is ended at the lab's teardown. Fails when it is not ready in time. */
  async spawn(argv: readonly string[], options: SpawnOptions = {}): Promise<RunningProcess> {
    const running = this.#start(argv, options);
    const timeoutMs = options.readyTimeoutMs ?? 10_000;
    const { ready } = options;
    if (ready instanceof RegExp) await running.waitForOutput(ready, { timeoutMs });
    else if (ready !== undefined) {
      await waitFor(
        () => {
          if (this.isListening(ready)) return 'listening';
          return running.running ? undefined : 'ended';
        },
        { what: `${this.name}: ${argv.join(' ')} listening on port ${ready}`, timeoutMs },
      );
      if (!running.running) throw running.failure(`ended before anything listened on port ${ready}`);
    }
    return running;
  }

  /** `ip` with the words of one line: `host.ip('link set eth0 down')`. */
  async ip(words: string): Promise<string> {
    return (await this.exec(['ip', ...words.split(' ').filter(Boolean)])).stdout;
  }

  /** Sets kernel settings: `{ 'net.ipv4.ip_forward': 1 }`. */
  async sysctl(settings: Readonly<Record<string, string | number>>): Promise<void> {
    await this.exec(['sysctl', '-q', '-w', ...Object.entries(settings).map(([key, value]) => `${key}=${value}`)]);
  }

  async readSysctl(name: string): Promise<string> {
    return (await this.exec(['sysctl', '-n', name])).stdout.trim();
  }

  /** A file of /proc/net as this host has it, without a process start. Empty where the kernel part is not loaded. */
  readProcNet(name: string): string {
    const path = `/proc/${this.holderPid}/net/${name}`;
    return existsSync(path) ? readFileSync(path, 'utf8') : '';
  }

  /** Whether a TCP socket listens on this port, on any address. No process start. */
  isListening(port: number): boolean {
    const hexPort = port.toString(16).toUpperCase().padStart(4, '0');
    const listening = new RegExp(`^\\s*\\d+: [0-9A-F]+:${hexPort} [0-9A-F:]+ 0A `, 'm');
    return ['tcp', 'tcp6'].some((file) => listening.test(this.readProcNet(file)));
  }

  /** Listens, tells each client how it sees it (JSON line), and echoes. Addresses must be the host's own; UDP takes no wildcard. */
  async serve(listeners: readonly ListenerAddress[]): Promise<WhoServer> {
    return serve(this.#trafficProcess(), listeners);
  }

  /** Asks a who-server through whatever is between: its answer, or how there was none. A few hundred may run at once. */
  async ask(target: FlowTarget): Promise<WhoAnswer | NoAnswer> {
    return ask(this.#trafficProcess(), target);
  }

  /** Opens a flow to a who-server and keeps it, to see what a change does to it. @throws Error when it cannot be opened */
  async open(target: FlowTarget): Promise<Flow> {
    const flow = await openFlow(this.#trafficProcess(), target);
    if (typeof flow === 'string') throw new Error(`${this.name}: ${target.proto} to ${target.to} port ${target.port}: ${flow}`);
    return flow;
  }

  /** Not started yet: `await host.prober({...}).start().settled()`. */
  prober(options: ProberOptions): Prober {
    return new Prober(this, options);
  }

  /** Starts one of the lab's own programs, a file beside this one, without awaiting anything. */
  spawnNode(main: 'prober-main' | 'traffic-main', args: readonly string[]): RunningProcess {
    return this.#start([process.execPath, siblingProgram(main), ...args], {});
  }

  /**
   * Lets this host alone see `source` (a file or directory of the lab) at `target`, which must exist. It stays over a
   * reboot. The machine's own file is not changed.
   */
  async overlay(target: string, source: string): Promise<void> {
    await this.exec(['mount', '--bind', source, target]);
    this.#overlays.set(target, source);
  }

  /** Every living process of this host, ours or not, also one that made itself another network namespace. */
  runningProcesses(): ProcessEntry[] {
    const [net, mnt] = [namespaceOf(this.holderPid, 'net'), namespaceOf(this.holderPid, 'mnt')];
    const here = (pid: number) => namespaceOf(pid, 'net') === net || namespaceOf(pid, 'mnt') === mnt;
    return allProcesses().filter((p) => p.pid !== this.holderPid && here(p.pid));
  }

  /** Kills what runs here and matches, started by us or not. @returns the killed */
  killProcesses(command: RegExp, signal: NodeJS.Signals = 'SIGKILL'): ProcessEntry[] {
    const found = this.runningProcesses().filter((p) => command.test(p.command));
    return found.filter((entry) => killIfThere(entry.pid, signal));
  }

  /** For the lab: ends all that was started here. */
  async stopProcesses(): Promise<void> {
    this.#traffic = undefined;
    await Promise.all(this.#processes.splice(0).map((p) => p.stop('SIGTERM', { timeoutMs: 3000 })));
  }

  /** For the lab: the namespaces were made anew. */
  async replaceHolder(holder: RunningProcess): Promise<void> {
    this.#holder = holder;
    for (const [target, source] of this.#overlays) await this.overlay(target, source);
  }

  /** For the lab: lets go of the namespaces. */
  async release(): Promise<void> {
    await this.#holder.stop('SIGKILL');
  }

  #start(argv: readonly string[], options: Pick<SpawnOptions, 'env' | 'cwd' | 'asOrdinaryUser'>): RunningProcess {
    const child = startProcess(this.wrap(argv, options), commandEnvironment(options.env));
    const running = new RunningProcess([`${this.name}#`, ...argv], child);
    this.#processes.push(running);
    return running;
  }

  #trafficProcess(): TrafficProcess {
    if (!this.#traffic) {
      const running = this.spawnNode('traffic-main', []);
      this.#traffic = new TrafficProcess({ process: running, stdout: running.stdoutStream });
    }
    return this.#traffic;
  }
}

/** A program beside this file, as TypeScript where the tests run from source and as JavaScript where they are compiled. */
function siblingProgram(name: string): string {
  const here = fileURLToPath(import.meta.url);
  return here.replace(/[^/]+(\.[jt]s)$/, `${name}$1`);
}
