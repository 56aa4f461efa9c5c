import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { IpForwarding } from './ip-forwarding.js';
import { MemorySysctl } from './sysctl.fake.js';
import { FileSysctlRecord, ProcSysctl } from './sysctl.js';

const KEY = 'net.ipv4.ip_forward';
let directory: string;
let boot = 'first';

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'gwctl-sysctl-'));
  boot = 'first';
});
afterEach(() => rmSync(directory, { recursive: true }));

const file = () => join(directory, 'deeper', 'sysctl.json');
const record = () => new FileSysctlRecord({ file: file(), bootId: async () => boot });
const forwarding = (sysctl: MemorySysctl) => new IpForwarding({ sysctl, record: record() });

describe('forwarding', () => {
  it('goes back to what it was, also by a process without memory', async () => {
    const sysctl = new MemorySysctl({ [KEY]: '0' });
    await forwarding(sysctl).turnOn();
    expect(await forwarding(sysctl).read()).toEqual({ on: true, ours: true });
    await forwarding(sysctl).turnOn();
    await forwarding(sysctl).restore();
    expect([sysctl.values.get(KEY), await forwarding(sysctl).read()]).toEqual(['0', { on: false, ours: false }]);
  });

  it('is not ours where it was on', async () => {
    const sysctl = new MemorySysctl({ [KEY]: '1' });
    await forwarding(sysctl).turnOn();
    await forwarding(sysctl).restore();
    expect([sysctl.values.get(KEY), await forwarding(sysctl).read()]).toEqual(['1', { on: true, ours: false }]);
  });

  it('is no longer ours where the host turns it on by itself after a start', async () => {
    const sysctl = new MemorySysctl({ [KEY]: '0' });
    await forwarding(sysctl).turnOn();
    boot = 'second';
    expect(await forwarding(sysctl).read()).toEqual({ on: true, ours: false });
    await forwarding(sysctl).restore();
    expect(sysctl.values.get(KEY)).toBe('1');
  });

  it('is still ours after a start that turned it off', async () => {
    const sysctl = new MemorySysctl({ [KEY]: '0' });
    await forwarding(sysctl).turnOn();
    boot = 'second';
    sysctl.values.set(KEY, '0');
    await forwarding(sysctl).turnOn();
    expect(await forwarding(sysctl).read()).toEqual({ on: true, ours: true });
  });

  it.each(['', '{"net.ipv4.ip_forward":', '[1]', '{"kernel.core_pattern":{"before":"|/bin/x","boot":"first"}}'])(
    'is left on, with a word about it, where the record is broken: %s',
    async (text) => {
      const sysctl = new MemorySysctl({ [KEY]: '0' });
      await forwarding(sysctl).turnOn();
      writeFileSync(file(), text);
      expect(await forwarding(sysctl).read()).toMatchObject({
        on: true,
        ours: false,
        trouble: expect.stringContaining('sysctl.json'),
      });
    },
  );

  it('leaves no file behind once nothing is changed any more', async () => {
    const sysctl = new MemorySysctl({ [KEY]: '0' });
    await forwarding(sysctl).turnOn();
    expect(JSON.parse(readFileSync(file(), 'utf8'))).toEqual({ [KEY]: { before: '0', boot: 'first' } });
    await forwarding(sysctl).restore();
    expect(() => readFileSync(file())).toThrow('ENOENT');
  });
});

it('ProcSysctl says what could not be read', async () => {
  expect(await new ProcSysctl().read(KEY)).toMatch(/^[01]$/);
  await expect(new ProcSysctl().read('net.gwctl.nothing')).rejects.toMatchObject({ reason: 'SYSCTL_FAILED' });
});
