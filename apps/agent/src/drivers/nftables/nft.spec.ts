import { describe, expect, it, vi } from 'vitest';
import { FakeExec } from '../../system/exec.fake.js';
import type { Command, Ready } from '../../system/exec.js';
import type { ElementReader } from './element-reader.js';
import { NOTHING_EXPECTED } from './listing.js';
import { ProgramNft } from './nft.js';
import { setOf } from './sets.js';

const listed = (...objects: unknown[]) => JSON.stringify({ nftables: [{ metainfo: {} }, ...objects] });
const table = listed({ table: { family: 'ip', name: 'gwctl', handle: 1 } });
const gone = { exitCode: 1, stderr: 'Error: No such file or directory\nlist table ip gwctl' };

const nft = (
  answer: (command: Command) => { stdout?: string; stderr?: string; exitCode?: number },
  generations: readonly (number | undefined)[] = [1],
) => {
  const exec = new FakeExec({ answer });
  const left = [...generations];
  const generation = () => (left.length > 1 ? left.shift() : left[0]);
  return { exec, nft: new ProgramNft({ exec, generation }) };
};

const read = (one: ProgramNft) => one.read([4], () => NOTHING_EXPECTED);

describe('ProgramNft', () => {
  it('writes text, on standard input', async () => {
    const { exec, nft: one } = nft(() => ({}));
    await one.write(['add table ip gwctl', 'add chain ip gwctl open']);
    expect(exec.commands).toMatchObject([
      { program: 'nft', args: ['-f', '-'], stdin: 'add table ip gwctl\nadd chain ip gwctl open\n' },
    ]);
  });

  it('talks to a running nft for small changes of elements, and believes only the count of changes', async () => {
    const small = ['delete element ip gwctl own-at { a }', 'add element ip gwctl own-at { b }'];
    const asked = async (generations: readonly number[], lines = small) => {
      const { exec, nft: one } = nft(({ args }) => (args[0] === 'describe' ? { stdout: 'datatype ifname\n' } : {}), generations);
      await one.write(lines);
      return exec.commands.map((c) => [c.args[0], c.stdin]);
    };
    const said = ['-i', `${small.join('; ')}\ndescribe ifname\n`];
    expect(await asked([1, 2])).toEqual([['describe', undefined], said]);
    expect(await asked([1, 1])).toEqual([['describe', undefined], said, ['-f', `${small.join('\n')}\n`]]);
    expect((await asked([1, 2], ['flush chain ip gwctl pool/a'])).map(([arg]) => arg)).toEqual(['-f']);
    const gone = ['add table ip gwctl', 'delete table ip gwctl'];
    expect((await asked([1, 2], gone)).map(([arg]) => arg)).toEqual(['describe', '-i']);
    expect((await asked([1, 2], [...gone, 'add table ip gwctl', 'add chain ip gwctl open'])).map(([arg]) => arg)).toEqual(['-f']);
    expect((await asked([1, 2], [`add element ip gwctl own-at { ${'a'.repeat(20_000)} }`])).map(([arg]) => arg)).toEqual(['-f']);
  });

  it('gives the next transaction to an nft that was started ahead, and starts another where that is gone', async () => {
    vi.useFakeTimers();
    try {
      const { exec, nft: one } = nft(() => ({}));
      const ahead: Ready[] = [];
      const given: string[] = [];
      exec.ready = () => {
        const ready = {
          alive: true,
          finish: async (text: string) => {
            given.push(text);
            return { exitCode: 0, stdout: '', stderr: '' };
          },
        };
        ahead.push(ready);
        return ready;
      };
      const written = async (line: string) => {
        await one.write([line]);
        await vi.advanceTimersByTimeAsync(100);
        return [exec.commands.length, given.length, ahead.length];
      };
      expect(await written('add chain ip gwctl a')).toEqual([1, 0, 1]);
      expect(await written('add chain ip gwctl b')).toEqual([1, 1, 2]);
      expect(given).toEqual(['add chain ip gwctl b\n']);
      Object.assign(ahead[1] ?? {}, { alive: false });
      expect(await written('add chain ip gwctl c')).toEqual([2, 1, 3]);
    } finally {
      vi.useRealTimers();
    }
  });

  it('says what nft said where it refuses', async () => {
    const { nft: one } = nft(() => ({ exitCode: 1, stderr: 'Error: Could not process rule: File exists' }));
    await expect(one.write(['x'])).rejects.toMatchObject({
      reason: 'COMMAND_FAILED',
      message: expect.stringContaining('File exists'),
    });
    await expect(read(one)).rejects.toMatchObject({ reason: 'COMMAND_FAILED' });
  });

  it('tells a table that is not there from one that cannot be listed', async () => {
    expect(await read(nft(() => gone).nft)).toEqual({ listings: { 4: undefined, 6: undefined }, generation: 1 });
  });

  it('lists again while others change rules, and else knows no generation', async () => {
    const moved = nft(() => ({ stdout: table }), [1, 2, 2, 2]);
    expect(await read(moved.nft)).toMatchObject({ generation: 2 });
    expect(moved.exec.commands).toHaveLength(2);
    const restless = nft(() => ({ stdout: table }), [1, 2, 3, 4, 5, 6, 7]);
    expect((await read(restless.nft)).generation).toBeUndefined();
    expect(restless.exec.commands).toHaveLength(3);
    const unknown = nft(() => ({ stdout: table }), [undefined]);
    expect((await read(unknown.nft)).listings[4]).toBeDefined();
    expect(unknown.exec.commands).toHaveLength(1);
  });

  it('asks for text where the JSON of a table that is switched off breaks off', async () => {
    const { nft: one } = nft(({ args }) =>
      args.includes('-j') ? { stdout: table.slice(0, -9) } : { stdout: 'table ip gwctl {\n\tflags dormant\n}\n' },
    );
    expect((await read(one)).listings[4]).toMatchObject({ flags: true, unreadable: true });
    const { nft: other } = nft(({ args }) => (args.includes('-j') ? { stdout: 'oops' } : { stdout: 'table ip gwctl {\n}\n' }));
    await expect(read(other)).rejects.toMatchObject({ reason: 'NFT_UNREADABLE' });
  });

  it('learns what our layout looks like once, from a scratch table without hooks that it takes away', async () => {
    const { exec, nft: one } = nft(({ args }) => ({
      stdout: listed({ table: { family: args.includes('ip6') ? 'ip6' : 'ip', name: 'gwctl-detect', handle: 1 } }),
    }));
    const layout = { ftp: true };
    await Promise.all([one.reference(4, layout), one.reference(4, layout)]);
    await one.reference(4, layout);
    const shown = () =>
      exec.commands.map((c) => (c.stdin === undefined ? 'list' : c.stdin.split('\n').length > 3 ? 'load' : 'remove'));
    expect(shown()).toEqual(['load', 'list', 'remove']);
    expect(exec.commands[0]?.stdin).not.toContain(' hook ');
    expect(await one.tryOut()).toEqual({ ftp: true, ipv6: true, troubles: [] });
    const checks = exec.commands.filter((c) => c.args.includes('--check'));
    expect(checks.map((c) => /add table (ip6?) /.exec(c.stdin ?? '')?.[1])).toEqual(['ip', 'ip6']);
    expect(checks.every((c) => c.stdin?.includes(' hook '))).toBe(true);
  });

  it('does without what the kernel has not', async () => {
    const { nft: one } = nft(({ args, stdin = '' }) => {
      if (args.includes('--check') && stdin.includes('ct helper')) return { exitCode: 1, stderr: 'No such file or directory' };
      if (args.includes('--check') && stdin.includes('table ip6')) return { exitCode: 1, stderr: 'Operation not supported' };
      return { stdout: listed({ table: { family: 'ip', name: 'gwctl-detect', handle: 1 } }) };
    });
    expect(await one.tryOut()).toMatchObject({
      ftp: false,
      ipv6: false,
      troubles: [expect.stringContaining('FTP'), expect.stringContaining('IPv6')],
    });
  });

  it('lets nft list only the static part of a large table, and falls back where that goes wrong', async () => {
    const elements: ElementReader = {
      each: async (set, take) => {
        if (set !== setOf(4, 'own-at')) return;
        for (let n = 0; n < 2000; n++) take({ key: `k${n}`, suffix: '', comment: 'c', counter: { packets: n, bytes: 2 * n } });
      },
    };
    const whole = listed({ table: { family: 'ip', name: 'gwctl', handle: 1 } });
    const ask = async (terse: { stdout?: string; exitCode?: number }) => {
      const exec = new FakeExec({ answer: ({ args }) => (args.includes('--terse') ? terse : { stdout: whole }) });
      const one = new ProgramNft({ exec, generation: () => 1, elements });
      const { listings } = await read(one);
      return {
        size: listings[4]?.patch.get(setOf(4, 'own-at'))?.size,
        asked: exec.commands.map((c) => c.args.slice(0, 4).join(' ')),
        one,
      };
    };
    const { size, asked, one } = await ask({ stdout: whole });
    expect([size, asked]).toEqual([2000, ['-j --terse list ruleset']]);
    expect((await one.counters(4, [setOf(4, 'own-at')])).get(setOf(4, 'own-at'))?.[3]).toMatchObject({
      comment: 'c',
      packets: 3,
      bytes: 6,
    });
    expect((await ask({ exitCode: 139 })).asked).toEqual(['-j --terse list ruleset', '-j list table ip']);
    expect((await ask({ stdout: whole.slice(0, -3) })).asked).toEqual(['-j --terse list ruleset', '-j list table ip']);
  });
});
