import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { claimDataDir } from './data-dir.js';

describe('the data directory', () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'gwctl-dir-'));
  });
  afterEach(() => rmSync(root, { recursive: true }));

  it('is made with its parents, and claimed for this process', () => {
    const dir = join(root, 'a', 'b');
    claimDataDir(dir);
    expect(readFileSync(join(dir, 'control.pid'), 'utf8')).toMatch(new RegExp(`^${process.pid} \\d+$`));
    expect(statSync(join(dir, 'control.pid')).mode & 0o777).toBe(0o600);
    claimDataDir(dir);
  });

  it('is refused while another process holds it, and free once that is gone', async () => {
    const other = spawn('sleep', ['60'], { stdio: 'ignore' });
    await once(other, 'spawn');
    const started = readFileSync(`/proc/${other.pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ')[19];
    writeFileSync(join(root, 'control.pid'), `${other.pid} ${started}`);
    expect(() => claimDataDir(root)).toThrow(/in use by another control plane/);
    // The same pid, started at another time: something else, later.
    writeFileSync(join(root, 'control.pid'), `${other.pid} 1`);
    claimDataDir(root);
    writeFileSync(join(root, 'control.pid'), `${other.pid} ${started}`);
    other.kill();
    await once(other, 'exit');
    claimDataDir(root);
  });

  it('is refused where it is a file, with what to do', () => {
    const file = join(root, 'file');
    writeFileSync(file, '');
    expect(() => claimDataDir(file)).toThrow(/cannot use --data-dir/);
    expect(() => claimDataDir(join(file, 'below'))).toThrow(/cannot use --data-dir/);
    expect(() => claimDataDir('/proc/nowhere/below')).toThrow(/cannot use --data-dir/);
  });
});
