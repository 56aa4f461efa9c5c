/** `npm start`: scenario 1 on hosts made of network namespaces, with the real programs, until Ctrl-C. */
import { dirname } from 'node:path';
import { createInterface } from 'node:readline';
import { program } from '../e2e/checkout.js';
import { configFile } from '../e2e/programs.js';
import { World } from '../e2e/world.js';
import { Sshd } from './daemons/sshd.js';
import { labMode } from './index.js';
import { type Scenario1Host, scenario1 } from './scenario1.js';

const listener = `${scenario1.gateway}:${scenario1.sshPort}`;
const target = `${scenario1.gitbucket}:${scenario1.sshPort}`;
const began = performance.now();

function say(text: string): void {
  process.stderr.write(`[${((performance.now() - began) / 1000).toFixed(1).padStart(5)} s] ${text}\n`);
}

function show(command: string, output: string): void {
  process.stdout.write(`\n$ ${command}\n${output.trimEnd()}\n`);
}

/** Resolves at the first Ctrl-C or SIGTERM. */
const asked = new Promise<void>((resolve) => {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => resolve());
});

async function gwctl(world: World, args: readonly string[]): Promise<void> {
  const result = await world.gwctl(args);
  show(`gwctl ${args.map((a) => (/\s/.test(a) ? `"${a}"` : a)).join(' ')}`, result.stdout + result.stderr);
}

/** Traffic of a client through the forward: ssh where a real sshd can run, otherwise a question to a plain server. */
async function traffic(world: World): Promise<void> {
  if (labMode() === 'root') {
    const sshd = await Sshd.start(world.lab, 'gitbucket', { addresses: [scenario1.gitbucket], port: scenario1.sshPort });
    const { stdout } = await sshd.ssh(world.lab.host('client'), {
      to: scenario1.gateway,
      port: scenario1.sshPort,
      command: 'echo "hello from $(hostname), logged in as $USER, connected: $SSH_CONNECTION"',
    });
    show(`ssh -p ${scenario1.sshPort} git@${scenario1.gateway}      # on client ${scenario1.client}`, stdout);
    return;
  }
  await world.serve('gitbucket', target);
  const answer = await world.ask('client', listener);
  if (typeof answer === 'string') throw new Error(`no traffic through the forward: ${answer}`);
  show(
    `(client ${scenario1.client} connects to ${listener})`,
    `answered by ${answer.local}, which sees the client as ${answer.peer}`,
  );
}

const TRY = `Type commands here; they run in the lab. Ctrl-C ends it and leaves nothing behind.

  gwctl forward get gitbucket-ssh                      how it stands, and why
  gw1 iptables -t nat -F                               somebody flushes the gateway's rules ...
  gwctl events --forward gitbucket-ssh                 ... and what gwctl made of it
  gw1 gwctl-agent status --state-dir $STATE            the gateway's own word, without the control plane
  gwctl forward add web --gateway gw1 --listen 192.168.1.10:8080 --target 192.168.2.122:10022 --wait
  gwctl forward delete gitbucket-ssh --wait
  gw1 iptables-save                                    nothing of gwctl's is left without a forward

A line begins with gwctl, or with a host: client, outsider, gw1, gitbucket, router, control.
`;

/** Runs one typed line on the host that it names; gwctl runs as the operator. */
async function runLine(world: World, line: string): Promise<void> {
  const [, named, rest] = /^(client|outsider|gw1|gitbucket|router|control)\s+(.+)$/.exec(line) ?? [];
  const host = world.lab.host((named ?? 'control') as Scenario1Host);
  const { stdout, stderr } = await host.exec(['sh', '-c', rest ?? line], {
    allowFailure: true,
    timeoutMs: 120_000,
    env: {
      PATH: `${dirname(program('gwctl'))}:${process.env.PATH ?? ''}`,
      GWCTL_CONFIG: configFile(world.dir),
      STATE: world.agent.stateDir,
    },
  });
  process.stdout.write(stdout);
  process.stderr.write(stderr);
}

/** Reads lines until the input or the demonstration ends. Without a terminal (a service, a pipe from nowhere) it only waits. */
async function prompt(world: World): Promise<void> {
  process.stdout.write(`\n${TRY}\n`);
  const lines = createInterface({
    input: process.stdin,
    output: process.stdout,
    prompt: 'gwctl lab> ',
    terminal: process.stdin.isTTY === true,
  });
  lines.on('SIGINT', () => process.kill(process.pid, 'SIGINT'));
  void asked.then(() => lines.close());
  if (process.stdin.isTTY) lines.prompt();
  for await (const line of lines) {
    if (line.trim() === 'exit') return;
    if (line.trim() !== '')
      await runLine(world, line.trim()).catch((error: unknown) => process.stderr.write(`${String(error)}\n`));
    if (process.stdin.isTTY) lines.prompt();
  }
  await asked;
}

async function main(): Promise<void> {
  const world = await World.start({ name: 'demo', progress: say });
  try {
    say(
      `the gateway has no forward yet: ${listener} says to the client: ${await world.ask('client', listener, { timeoutMs: 500 })}`,
    );
    const flags = [
      '--gateway',
      'gw1',
      '--listen',
      listener,
      '--interface',
      'enp1s0',
      '--target',
      target,
      '--allow',
      scenario1.lan,
    ];
    await gwctl(world, [
      'forward',
      'add',
      'gitbucket-ssh',
      ...flags,
      '--description',
      'SSH to GitBucket for the lab network',
      '--wait',
    ]);
    await traffic(world);
    const outside = await world.ask('outsider', listener, { timeoutMs: 700 });
    show(
      `(outsider ${scenario1.outsider}, not in ${scenario1.lan}, tries the same)`,
      typeof outside === 'string' ? outside : 'CONNECTED',
    );
    if (typeof outside !== 'string') throw new Error('a source outside the allow-list got through');
    await gwctl(world, ['forward', 'list']);
    say('ready');
    await prompt(world);
  } finally {
    say('removing the hosts and everything in them ...');
    await world.stop();
  }
}

await main();
