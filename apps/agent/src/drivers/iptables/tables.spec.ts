import { describe, expect, it } from 'vitest';
import { FakeExec } from '../../system/exec.fake.js';
import type { Command } from '../../system/exec.js';
import { ProgramTables, type Variant } from './tables.js';

/** Answers as iptables does: repeats comments, and lists one table where it is asked to. */
function lists(command: Command) {
  const lines = (command.stdin ?? '')
    .split('\n')
    .flatMap((line) => (line.startsWith('#') ? [line] : line.startsWith('-S ') ? [`-N ${line.slice(3)}`] : []));
  return { stdout: lines.map((l) => `${l}\n`).join('') };
}

function tables(
  options: {
    variant?: Variant;
    legacy?: string;
    answer?: (command: Command) => ReturnType<ConstructorParameters<typeof FakeExec>[0]['answer']>;
  } = {},
) {
  const exec = new FakeExec({ answer: options.answer ?? lists });
  const legacyTables = async () => options.legacy ?? '';
  return { exec, tables: new ProgramTables({ variant: options.variant ?? 'nft', exec, legacyTables }) };
}

const ADD = { table: 'nat', lines: ['-A GWCTL-DISP -j RETURN'] } as const;
const REMOVE = { table: 'filter', lines: ['-X GWCTL-FWD'] } as const;

describe('ProgramTables', () => {
  it('writes and reads back in one breath', async () => {
    const { exec, tables: nft } = tables();
    await nft.tryOut();
    exec.commands.length = 0;
    const back = await nft.write([ADD]);
    expect(exec.commands).toEqual([
      {
        program: 'iptables-nft-restore',
        args: ['--noflush', '--verbose', '-w', '5'],
        stdin: '*nat\n-A GWCTL-DISP -j RETURN\nCOMMIT\n# gwctl table nat\n*nat\n-S GWCTL-DISP\nCOMMIT\n# gwctl done\n',
        timeoutMs: 120_000,
        maxOutputBytes: 256 * 2 ** 20,
        untilLine: '# gwctl done',
      },
    ]);
    expect([...back.keys()]).toEqual(['nat']);
  });

  it('reads back what it touched, but for what it removed', async () => {
    const { exec, tables: nft } = tables();
    await nft.tryOut();
    const back = await nft.write([
      ADD,
      REMOVE,
      { table: 'nat', lines: ['-D PREROUTING -j GWCTL-X', '-F GWCTL-X', '-X GWCTL-X'] },
    ]);
    expect(exec.commands.at(-1)?.stdin?.match(/-S .*/g)).toEqual(['-S GWCTL-DISP', '-S PREROUTING']);
    expect([...back].map(([table, chains]) => [table, [...chains.keys()]])).toEqual([
      ['nat', ['GWCTL-DISP', 'PREROUTING']],
      ['filter', []],
    ]);
  });

  it('where iptables-restore does not list, it reads back with iptables-save', async () => {
    const { exec, tables: nft } = tables({
      answer: (c) =>
        c.program.endsWith('-save')
          ? { stdout: '*nat\n:GWCTL-X - [0:0]\nCOMMIT\n' }
          : c.stdin?.includes('-S ')
            ? { exitCode: 2 }
            : {},
    });
    await nft.tryOut();
    exec.commands.length = 0;
    expect([...(await nft.write([ADD])).keys()]).toEqual(['nat']);
    expect(exec.commands.map((c) => [c.program, ...c.args].join(' '))).toEqual([
      'iptables-nft-restore --noflush --verbose -w 5',
      'iptables-nft-save -t nat',
    ]);
  });

  it('starts no process for nothing', async () => {
    const { exec, tables: nft } = tables();
    expect((await nft.read([])).size).toBe(0);
    expect(exec.commands).toEqual([]);
  });

  it('does not run the legacy program where legacy tables were never used: that alone would load them', async () => {
    const { exec, tables: legacy } = tables({ variant: 'legacy' });
    expect((await legacy.read(['mangle', 'filter', 'nat'])).size).toBe(0);
    expect(exec.commands).toEqual([]);
    const used = tables({ variant: 'legacy', legacy: 'nat\n', answer: () => ({ stdout: '' }) });
    await used.tables.read(['nat']);
    expect(used.exec.commands.map((c) => c.program)).toEqual(['iptables-legacy-save']);
  });

  it.each([
    [4, 'Another app is currently holding the xtables lock.', 'TABLES_BUSY'],
    [4, 'iptables-nft-save: Could not fetch rule set generation id: Permission denied (you must be root)', 'COMMAND_FAILED'],
    [1, "iptables-nft-restore v1.8.9 (nf_tables): table `filter' is incompatible, use 'nft' tool.", 'FOREIGN_NATIVE_RULES'],
    [2, 'iptables-nft-restore: line 3 failed', 'COMMAND_FAILED'],
  ])('exit code %i, "%s": %s', async (exitCode, stderr, reason) => {
    const { tables: nft } = tables({ answer: () => ({ exitCode, stderr }) });
    await expect(nft.write([ADD])).rejects.toMatchObject({ reason });
  });

  it('takes its scratch chains away after trying failed half-way', async () => {
    const { exec, tables: nft } = tables({
      answer: (c) => (c.stdin?.includes(':GWCTL-DETECT') ? { exitCode: 1, stderr: 'no such target' } : {}),
    });
    await expect(nft.tryOut()).rejects.toMatchObject({ reason: 'COMMAND_FAILED' });
    const clear = (tables: readonly string[]) => tables.map((t) => `*${t}\n-F GWCTL-DETECT\n-X GWCTL-DETECT\nCOMMIT\n`);
    const cleared = exec.commands.map((c) => c.stdin).filter((text) => !text?.includes(':GWCTL-DETECT'));
    // Everything at once first, then only what cannot be done without.
    expect(cleared).toEqual([...clear(['raw', 'mangle', 'filter', 'nat']), ...clear(['mangle', 'filter', 'nat'])]);
  });

  it('says which features a host lacks', async () => {
    const { tables: nft } = tables({
      answer: (c) => (c.stdin?.includes('--helper') ? { exitCode: 1, stderr: 'no such helper' } : lists(c)),
    });
    expect([...(await nft.tryOut())]).toEqual([['ftp', expect.stringContaining('no such helper')]]);
  });
});
