import { describe, expect, it, vi } from 'vitest';
import { ProcessExec } from './exec.js';

describe('a program that was started ahead', () => {
  const exec = new ProcessExec();

  it('waits for its input, and then counts as any other', async () => {
    const [found, missed] = [
      exec.ready({ program: 'grep', args: ['-q', 'x'] }),
      exec.ready({ program: 'grep', args: ['-q', 'x'] }),
    ];
    expect(found.alive).toBe(true);
    expect(await found.finish('a\nx\n')).toEqual({ exitCode: 0, stdout: '', stderr: '' });
    expect((await missed.finish('y\n')).exitCode).toBe(1);
    expect(found.alive).toBe(false);
    expect(() => found.finish('x')).toThrow('waits no longer');
  });

  it('says what it printed as an error', async () => {
    const ready = exec.ready({ program: 'sh', args: [] });
    expect(await ready.finish('echo refused >&2; exit 3\n')).toEqual({ exitCode: 3, stdout: '', stderr: 'refused\n' });
  });

  it('is our own from when it is used', async () => {
    const ready = exec.ready({ program: 'sh', args: [] });
    const { stderr } = await ready.finish('echo $$ >&2\n');
    expect(exec.isOwn(Number(stderr))).toBe(true);
  });

  it('is not waited for where it ended meanwhile, or is not installed', async () => {
    const [ended, missing] = [
      exec.ready({ program: 'true', args: [] }),
      exec.ready({ program: 'gwctl-no-such-program', args: [] }),
    ];
    await vi.waitFor(() => expect([ended.alive, missing.alive]).toEqual([false, false]));
  });

  it('is killed where it takes too long with its input', async () => {
    const ready = exec.ready({ program: 'sh', args: [], timeoutMs: 50 });
    await expect(ready.finish('sleep 20\n')).rejects.toMatchObject({ reason: 'TIMED_OUT' });
  });
});
