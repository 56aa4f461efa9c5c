import { describe, expect, it, vi } from 'vitest';
import { mustRun, ProcessExec, RecentPids } from './exec.js';

describe('ProcessExec', () => {
  const exec = new ProcessExec();

  it('passes arguments as they are, without a shell, and input', async () => {
    const echoed = await exec.run({ program: 'printf', args: ['%s|', '$HOME', '; id', '*'] });
    expect(echoed).toEqual({ exitCode: 0, stdout: '$HOME|; id|*|', stderr: '' });
    expect((await exec.run({ program: 'cat', args: [], stdin: 'a\nb\n' })).stdout).toBe('a\nb\n');
  });

  it('hands nothing of its environment on', async () => {
    expect((await exec.run({ program: 'env', args: [] })).stdout.split('\n').filter(Boolean).sort()).toEqual([
      'LC_ALL=C',
      'PATH=/usr/sbin:/usr/bin:/sbin:/bin',
    ]);
  });

  it('gives back exit codes; mustRun turns them into an error with what the program said', async () => {
    expect((await exec.run({ program: 'false', args: [] })).exitCode).toBe(1);
    await expect(mustRun(exec, { program: 'ls', args: ['/nonexistent-dir'] })).rejects.toMatchObject({
      reason: 'COMMAND_FAILED',
      message: expect.stringContaining('No such file'),
    });
  });

  it('names the Debian package of a missing program', async () => {
    await expect(exec.run({ program: 'gwctl-no-such-program', args: [] })).rejects.toMatchObject({
      reason: 'PROGRAM_MISSING',
      code: 'FAILED_PRECONDITION',
    });
  });

  it('kills what takes too long or prints too much', async () => {
    await expect(exec.run({ program: 'sleep', args: ['20'], timeoutMs: 50 })).rejects.toMatchObject({ reason: 'TIMED_OUT' });
    await expect(exec.run({ program: 'yes', args: [], maxOutputBytes: 10_000 })).rejects.toMatchObject({
      reason: 'OUTPUT_TOO_LONG',
    });
  });

  it('need not wait for the end of a process that has said all', async () => {
    const command = { program: 'sh', args: ['-c', 'echo a; echo done; sleep 20'], untilLine: 'done', timeoutMs: 300 };
    expect(await exec.run(command)).toEqual({ exitCode: 0, stdout: 'a\ndone\n', stderr: '' });
  });

  it('survives a program that does not read its input', async () => {
    expect((await exec.run({ program: 'true', args: [], stdin: 'x'.repeat(1 << 20) })).exitCode).toBe(0);
  });

  it('gives a program all of a long input before it starts, so that a death of ours in between cuts nothing off', async () => {
    const stdin = 'ä\n'.repeat(1 << 20);
    const seen = await exec.run({ program: 'sh', args: ['-c', 'stat -L -c "%F %s" /dev/stdin; wc -c'], stdin });
    expect(seen.stdout).toBe(`regular file ${3 << 20}\n${3 << 20}\n`);
  });

  describe('a conversation', () => {
    const shell = (script: string, timeoutMs = 2000) => exec.converse({ program: 'sh', args: ['-c', script], timeoutMs }, 10_000);

    it('asks one process again and again', async () => {
      const echo = shell('while read line; do echo "$$ $line"; echo end; done');
      const first = await echo.say('a\n', 'end');
      const second = await echo.say('b\n', 'end');
      expect([first.split(' ')[0], first.slice(-6), second.slice(-6)]).toEqual([second.split(' ')[0], 'a\nend\n', 'b\nend\n']);
      expect([echo.alive, exec.isOwn(Number(first.split(' ')[0]))]).toEqual([true, true]);
    });

    it('ends with the program, which has the last word', async () => {
      const failing = shell('read line; echo "bad line" >&2; exit 3');
      await expect(failing.say('x\n', 'end')).rejects.toMatchObject({
        reason: 'COMMAND_FAILED',
        message: expect.stringContaining('bad line'),
      });
      expect(failing.alive).toBe(false);
    });

    it('does not wait for ever, nor for a program that is missing', async () => {
      await expect(shell('read line; sleep 20', 50).say('x\n', 'end')).rejects.toMatchObject({ reason: 'TIMED_OUT' });
      const missing = exec.converse({ program: 'gwctl-no-such-program', args: [] }, 1000);
      await expect(missing.say('x\n', 'end')).rejects.toMatchObject({ reason: 'PROGRAM_MISSING' });
    });

    it('is over when nobody has spoken for long', async () => {
      const idle = exec.converse({ program: 'sh', args: ['-c', 'read line; echo end; read line'] }, 50);
      await idle.say('x\n', 'end');
      await vi.waitFor(() => expect(idle.alive).toBe(false));
    });
  });

  it('knows its own children', async () => {
    const running = exec.start({ program: 'true', args: [] });
    await running.finished;
    expect(exec.isOwn(running.pid ?? -1)).toBe(true);
    expect(exec.isOwn(process.pid)).toBe(false);
  });
});

it('RecentPids forgets the oldest', () => {
  const pids = new RecentPids();
  for (let pid = 1; pid <= 300; pid++) pids.add(pid);
  expect([pids.has(1), pids.has(300)]).toEqual([false, true]);
});
