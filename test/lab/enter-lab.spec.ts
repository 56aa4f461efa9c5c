import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { labMode } from './environment.js';
import { allProcesses } from './processes.js';
import { waitFor } from './wait-for.js';

const script = fileURLToPath(new URL('../../scripts/enter-lab.mjs', import.meta.url));

/** Enters a lab inside the lab that the tests run in. */
class Entered {
  output = '';
  readonly child: ChildProcessByStdio<null, Readable, Readable>;
  readonly code: Promise<number | null>;

  constructor(argv: readonly string[], env: Record<string, string> = {}) {
    const options = { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] } as const;
    this.child = spawn(process.execPath, [script, '--', ...argv], { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.child.stdout, this.child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.output += text;
      });
    this.code = new Promise((resolve) => this.child.on('close', resolve));
  }

  async says(text: string): Promise<void> {
    await waitFor(() => this.output.includes(text), { what: `"${text}" in the output` });
  }
}

const running = (command: string) => allProcesses().some((p) => p.command === command);

describe('enter-lab', () => {
  it('runs the command alone, with a /run of its own, and gives its exit code', async () => {
    const entered = new Entered(['sh', '-c', 'echo $GWCTL_LAB; ls /run/netns; ip -o link | wc -l; echo $PPID; exit 7']);
    expect(await entered.code).toBe(7);
    expect(entered.output).toBe(`${labMode()}\n1\n1\n`);
  });

  it('says a death by signal as a shell does', async () => {
    expect(await new Entered(['sh', '-c', 'kill -KILL $$']).code).toBe(137);
  });

  it.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)('passes %s on and lets the program tear down', async (signal) => {
    const name = signal.slice(3);
    const entered = new Entered(['sh', '-c', `trap 'echo tear down; exit 5' ${name}; echo up; while :; do sleep 0.02; done`]);
    await entered.says('up');
    entered.child.kill(signal);
    expect(await entered.code).toBe(5);
    expect(entered.output).toContain('tear down');
  });

  it('passes on a signal that comes before the program has started', async () => {
    const entered = new Entered(['sleep', '7001']);
    await waitFor(() => allProcesses().some((p) => p.command.startsWith('sh -c') && p.command.endsWith('sleep 7001')), {
      what: 'sh',
    });
    entered.child.kill('SIGTERM');
    expect(await entered.code).toBe(143);
  });

  it('leaves no process when it is killed itself', async () => {
    const entered = new Entered(['sh', '-c', 'setsid sleep 7002 & echo $TMPDIR; exec sleep 7003']);
    await waitFor(() => running('sleep 7002') && running('sleep 7003'), { what: 'both sleep' });
    entered.child.kill('SIGKILL');
    await waitFor(() => !running('sleep 7002') && !running('sleep 7003'), { what: 'both ended' });
  });

  it('leaves no process and no file when the program ends', async () => {
    const entered = new Entered([
      'sh',
      '-c',
      'setsid sleep 7004 >/dev/null 2>&1 & echo x > $TMPDIR/file; ls $TMPDIR; echo $TMPDIR',
    ]);
    expect(await entered.code).toBe(0);
    const [file, directory = ''] = entered.output.split('\n');
    expect(file).toBe('file');
    expect(existsSync(directory)).toBe(false);
    expect(running('sleep 7004')).toBe(false);
    expect(readdirSync('/run/netns')).toEqual([]);
  });

  it('names the package of a program that is missing', async () => {
    const entered = new Entered(['true'], { PATH: '/nonexistent' });
    expect(await entered.code).toBe(1);
    expect(entered.output).toMatch(/apt-get install -y .*util-linux/);
  });

  it('explains itself without a command', async () => {
    const entered = new Entered([]);
    expect(await entered.code).toBe(2);
    expect(entered.output).toContain('usage: node scripts/enter-lab.mjs -- CMD');
  });
});
