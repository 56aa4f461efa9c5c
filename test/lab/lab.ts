import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { runCommand, startProcess } from './command.js';
import { commandEnvironment, labMode } from './environment.js';
import { Host, ordinaryUserId } from './host.js';
import { allProcesses, killIfThere, mountsNamespace, namespaceOf } from './processes.js';
import { type RulesSnapshot, type SnapshotOptions, snapshotRules } from './rules.js';
import { RunningProcess } from './running-process.js';
import {
  cablesOf,
  configureHost,
  connectPorts,
  type HostSpec,
  type LabSpec,
  layCables,
  makeBridges,
  planTopology,
  sysctlsOf,
  type Topology,
} from './topology.js';
import { waitFor } from './wait-for.js';

export interface DestroyOptions {
  /** Command lines of processes that may be left although nobody stopped them, such as a relay that outlives its agent. */
  mayBeLeft?: readonly RegExp[];
}

/** First program of a host: makes its mount and UTS namespace its own, then holds all of them until its input ends. */
function holderScript(host: string, spec: HostSpec, etc: string): string {
  return [
    'mount -t tmpfs -o mode=755 gwctl-host /run',
    'mkdir -p /run/sshd /run/lock /run/netns /run/user',
    'chmod 1777 /run/lock',
    // A container may not allow this one; without it /sys/class/net shows the machine's interfaces.
    'mount -t sysfs sysfs /sys 2>/dev/null || echo "no own /sys here"',
    // Names of the lab's hosts, and no DNS: a look-up fails at once instead of waiting for a server that is not there.
    `mount --bind ${etc}/hosts /etc/hosts`,
    `if [ -e /etc/resolv.conf ]; then mount --bind ${etc}/resolv.conf /etc/resolv.conf; fi`,
    `hostname ${host}`,
    `sysctl -q -w ${sysctlsOf(spec)
      .map((setting) => `'${setting}'`)
      .join(' ')}`,
    "ip -batch - <<'END'",
    ...configureHost(spec),
    'END',
    'echo holding',
    'exec cat',
  ].join('\n');
}

/** /etc/hosts and /etc/resolv.conf of every host. A test of DNS lays its own over them with `host.overlay`. */
function writeNameFiles(etc: string, spec: LabSpec): void {
  const names = Object.entries(spec.hosts).map(([name, host]) => {
    const first = Object.values(host.links).flatMap((link) => link.addresses ?? [])[0];
    return first === undefined ? '' : `${first.split('/')[0]} ${name}\n`;
  });
  mkdirSync(etc);
  writeFileSync(join(etc, 'hosts'), `127.0.0.1 localhost\n::1 localhost ip6-localhost\n${names.join('')}`);
  writeFileSync(join(etc, 'resolv.conf'), 'nameserver 127.0.0.1\noptions timeout:1 attempts:1\n');
}

async function ipBatch(lines: readonly string[], namespace?: string): Promise<void> {
  if (lines.length === 0) return;
  const argv = ['ip', ...(namespace === undefined ? [] : ['-n', namespace]), '-batch', '-'];
  await runCommand(argv, { stdin: `${lines.join('\n')}\n`, env: commandEnvironment(), timeoutMs: 30_000 });
}

async function startHolder(namespace: string, host: string, spec: HostSpec, etc: string): Promise<RunningProcess> {
  const enter = ['nsenter', `--net=/run/netns/${namespace}`, 'unshare', '--mount', '--uts', '--propagation', 'private'];
  const argv = [...enter, 'sh', '-ec', holderScript(host, spec, etc)];
  const holder = new RunningProcess([`(namespaces of ${host})`], startProcess(argv, commandEnvironment()));
  await holder.waitForOutput(/^holding$/m);
  return holder;
}

/** Interfaces in the lab's own namespace. A cable's end falls back to it when something goes wrong. */
function interfacesHere(): Set<string> {
  const lines = readFileSync('/proc/net/dev', 'utf8').split('\n').slice(2);
  return new Set(lines.map((line) => line.split(':')[0]?.trim() ?? '').filter(Boolean));
}

/** Who keeps one of these network namespaces alive, by being in it or by a mount of it: [process, inode]. */
function namespaceUsers(inodes: ReadonlySet<number>): [number, number][] {
  const users: [number, number][] = [];
  for (const { pid } of allProcesses()) {
    const inside = namespaceOf(pid, 'net');
    for (const inode of inodes) if (inode === inside || mountsNamespace(pid, inode)) users.push([pid, inode]);
  }
  return users;
}

/** Hosts made of network namespaces, with cables, daemons and traffic between them. Only inside enter-lab. */
export class Lab<Name extends string = string> {
  /** Directory for the files of this lab; removed at the end. Every user may pass through it. */
  readonly path: string;
  readonly #hosts: ReadonlyMap<string, Host>;
  readonly #spec: LabSpec;
  readonly #topology: Topology;
  readonly #inodes = new Set<number>();
  readonly #interfacesBefore = interfacesHere();
  #destroyed = false;

  private constructor(options: { spec: LabSpec; topology: Topology; hosts: ReadonlyMap<string, Host>; path: string }) {
    this.#spec = options.spec;
    this.#topology = options.topology;
    this.#hosts = options.hosts;
    this.path = options.path;
    for (const host of options.hosts.values()) this.#inodes.add(host.namespaceInode);
  }

  /** Builds the hosts and awaits that they are configured. What fails to come up is taken down again. */
  static async create<Spec extends LabSpec>(spec: Spec): Promise<Lab<Extract<keyof Spec['hosts'], string>>> {
    labMode();
    const topology = planTopology(spec);
    const { bridgeNamespace } = topology;
    const namespaces = [...topology.namespaces.values(), ...(bridgeNamespace === undefined ? [] : [bridgeNamespace])];
    const taken = namespaces.filter((n) => existsSync(`/run/netns/${n}`));
    if (taken.length > 0)
      throw new Error(`lab "${spec.name}" exists already (${taken.join(', ')}): destroy it, or choose another name`);
    const started = new Map<string, Host>();
    const path = mkdtempSync(join(tmpdir(), `${spec.name}-`));
    try {
      chmodSync(path, 0o711);
      writeNameFiles(join(path, 'etc'), spec);
      await ipBatch([...namespaces.map((n) => `netns add ${n}`), ...layCables(topology, topology.cables)]);
      if (bridgeNamespace !== undefined) {
        // The bridges only pass frames on; addresses of their own would add traffic of their own.
        const quiet = ['sysctl', '-q', '-w', 'net.ipv6.conf.all.disable_ipv6=1', 'net.ipv6.conf.default.disable_ipv6=1'];
        await runCommand(['nsenter', `--net=/run/netns/${bridgeNamespace}`, ...quiet], { env: commandEnvironment() });
        await ipBatch([...makeBridges(topology.bridges), ...connectPorts(topology.cables)], bridgeNamespace);
      }
      await Promise.all(
        Object.entries(spec.hosts).map(async ([name, host]) => {
          const namespace = `${spec.name}-${name}`;
          started.set(name, new Host(name, namespace, await startHolder(namespace, name, host, join(path, 'etc'))));
        }),
      );
    } catch (error) {
      await Promise.all([...started.values()].map((host) => host.release()));
      const made = namespaces.filter((n) => existsSync(`/run/netns/${n}`));
      await ipBatch(made.map((n) => `netns del ${n}`));
      rmSync(path, { recursive: true });
      throw error;
    }
    return new Lab({ spec, topology, hosts: started, path });
  }

  /** @throws Error for a name that is not in the specification */
  host(name: Name): Host {
    const host = this.#hosts.get(name);
    if (!host) throw new Error(`lab "${this.#spec.name}" has no host "${name}": ${[...this.#hosts.keys()].join(', ')}`);
    return host;
  }

  get hosts(): readonly Host[] {
    return [...this.#hosts.values()];
  }

  /** A new directory below `path`; removed at the end. `asOrdinaryUser`: it belongs to the user of that option of `exec`. */
  directory(name: string, options: { asOrdinaryUser?: boolean } = {}): string {
    const path = join(this.path, name);
    mkdirSync(path, { recursive: true, mode: 0o755 });
    if (options.asOrdinaryUser && labMode() === 'root') chownSync(path, ordinaryUserId, ordinaryUserId);
    return path;
  }

  /** All packet filter rules of a host, comparable as text; gwctl's own left out unless asked for. */
  snapshotRules(name: Name, options: SnapshotOptions = {}): Promise<RulesSnapshot> {
    return snapshotRules(this.host(name), options);
  }

  /**
   * What a power cut and a start do to a host: every process is killed, all that the kernel held (rules, sysctls,
   * conntrack, /run) is gone, and its interfaces come back as specified. Files elsewhere stay. Start daemons again.
   */
  async reboot(name: Name): Promise<void> {
    const host = this.host(name);
    for (const entry of host.runningProcesses()) killIfThere(entry.pid);
    await host.stopProcesses();
    this.#inodes.delete(host.namespaceInode);
    await host.release();
    const cables = cablesOf(this.#topology, name);
    await ipBatch([`netns del ${host.namespace}`]);
    // The far ends of its cables go together with the namespace, but not at once.
    const farEnds = cables.map((c) =>
      c.host === name ? [c.farNamespace, c.farInterface] : [`${this.#spec.name}-${c.host}`, c.interface],
    );
    for (const [namespace = '', end = ''] of farEnds) {
      const look = ['ip', '-n', namespace, 'link', 'delete', end];
      await runCommand(look, { env: commandEnvironment(), allowFailure: true });
    }
    await ipBatch([`netns add ${host.namespace}`, ...layCables(this.#topology, cables)]);
    await ipBatch(connectPorts(cables), this.#topology.bridgeNamespace);
    const spec = this.#specOf(name);
    await host.replaceHolder(await startHolder(host.namespace, name, spec, join(this.path, 'etc')));
    this.#inodes.add(host.namespaceInode);
    // A peer on a plain cable has lost its interface, and with it addresses and routes.
    const peers = new Set(
      cables.filter((c) => c.bridge === undefined).map((c) => this.#hostOf(c.host === name ? c.farNamespace : c.host)),
    );
    for (const peer of peers) await ipBatch(configureHost(this.#specOf(peer)), `${this.#spec.name}-${peer}`);
  }

  /**
   * Ends what the lab started, removes the namespaces and files, and checks that nothing is left.
   * @throws Error naming each process, namespace or interface that was left by something else. It is removed all the same.
   */
  async destroy(options: DestroyOptions = {}): Promise<void> {
    if (this.#destroyed) return;
    this.#destroyed = true;
    await Promise.all(this.hosts.map((host) => host.stopProcesses()));
    const left = await this.#endStrays(options.mayBeLeft ?? []);
    await Promise.all(this.hosts.map((host) => host.release()));
    const { namespaces, bridgeNamespace } = this.#topology;
    const names = [...namespaces.values(), ...(bridgeNamespace === undefined ? [] : [bridgeNamespace])];
    const there = new Set(readdirSync('/run/netns'));
    await ipBatch(names.filter((name) => there.has(name)).map((name) => `netns del ${name}`));
    rmSync(this.path, { recursive: true, force: true });

    const remaining = new Set(readdirSync('/run/netns'));
    for (const name of names) if (remaining.has(name)) left.push(`namespace ${name}`);
    for (const name of interfacesHere()) if (!this.#interfacesBefore.has(name)) left.push(`interface ${name}`);
    for (const [pid, inode] of namespaceUsers(this.#inodes)) left.push(`namespace net:[${inode}], held by process ${pid}`);
    if (left.length > 0) throw new Error(`lab "${this.#spec.name}": left behind:\n  ${left.join('\n  ')}`);
  }

  /** Kills what is still on our hosts though everything we started has ended. */
  async #endStrays(mayBeLeft: readonly RegExp[]): Promise<string[]> {
    const strays = () => this.hosts.flatMap((host) => host.runningProcesses());
    // What has been told to end a moment ago is given that moment; what may be left may also just be starting another process.
    const deadline = performance.now() + 500;
    for (let now = strays(); now.length > 0 && performance.now() < deadline; now = strays()) {
      for (const stray of now) if (mayBeLeft.some((pattern) => pattern.test(stray.command))) killIfThere(stray.pid);
      await pause(5);
    }
    const left = strays();
    for (const stray of left) killIfThere(stray.pid);
    await waitFor(() => strays().length === 0, { what: 'the strays ended' });
    return left.map((stray) => `process ${stray.pid}: ${stray.command}`);
  }

  #specOf(host: string): HostSpec {
    const spec = this.#spec.hosts[host];
    if (!spec) throw new Error(`no host "${host}"`);
    return spec;
  }

  #hostOf(nameOrNamespace: string): string {
    for (const [host, namespace] of this.#topology.namespaces)
      if (host === nameOrNamespace || namespace === nameOrNamespace) return host;
    throw new Error(`no host "${nameOrNamespace}"`);
  }
}
