import { describe, expect, it } from 'vitest';
import { FakeExec } from '../../system/exec.fake.js';
import type { Command } from '../../system/exec.js';
import { ProgramNft } from './nft.js';

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

describe('ProgramNft', () => {
  it('writes text, on standard input', async () => {
    const { exec, nft: one } = nft(() => ({}));
    await one.write(['add table ip gwctl', 'add chain ip gwctl open']);
    expect(exec.commands).toMatchObject([
      { program: 'nft', args: ['-f', '-'], stdin: 'add table ip gwctl\nadd chain ip gwctl open\n' },
    ]);
  });

  it('says what nft said where it refuses', async () => {
    const { nft: one } = nft(() => ({ exitCode: 1, stderr: 'Error: Could not process rule: File exists' }));
    await expect(one.write(['x'])).rejects.toMatchObject({
      reason: 'COMMAND_FAILED',
      message: expect.stringContaining('File exists'),
    });
    await expect(one.read()).rejects.toMatchObject({ reason: 'COMMAND_FAILED' });
  });

  it('tells a table that is not there from one that cannot be listed', async () => {
    expect(await nft(() => gone).nft.read()).toEqual({ generation: 1 });
  });

  it('lists again while others change rules, and else knows no generation', async () => {
    const moved = nft(() => ({ stdout: table }), [1, 2, 2, 2]);
    expect(await moved.nft.read()).toMatchObject({ generation: 2 });
    expect(moved.exec.commands).toHaveLength(2);
    const restless = nft(() => ({ stdout: table }), [1, 2, 3, 4, 5, 6, 7]);
    expect((await restless.nft.read()).generation).toBeUndefined();
    expect(restless.exec.commands).toHaveLength(3);
    const unknown = nft(() => ({ stdout: table }), [undefined]);
    expect((await unknown.nft.read()).listing).toBeDefined();
    expect(unknown.exec.commands).toHaveLength(1);
  });

  it('asks for text where the JSON of a table that is switched off breaks off', async () => {
    const { nft: one } = nft(({ args }) =>
      args.includes('-j') ? { stdout: table.slice(0, -9) } : { stdout: 'table ip gwctl {\n\tflags dormant\n}\n' },
    );
    expect((await one.read()).listing).toMatchObject({ flags: true, unreadable: true });
    const { nft: other } = nft(({ args }) => (args.includes('-j') ? { stdout: 'oops' } : { stdout: 'table ip gwctl {\n}\n' }));
    await expect(other.read()).rejects.toMatchObject({ reason: 'NFT_UNREADABLE' });
  });

  it('learns what our layout looks like once, from a scratch table without hooks that it takes away', async () => {
    const { exec, nft: one } = nft(() => ({ stdout: listed({ table: { family: 'ip', name: 'gwctl-detect', handle: 1 } }) }));
    await Promise.all([one.reference(), one.reference()]);
    await one.reference();
    expect(
      exec.commands.map((c) => (c.stdin === undefined ? 'list' : c.stdin.split('\n').length > 3 ? 'load' : 'remove')),
    ).toEqual(['load', 'list', 'remove']);
    expect(exec.commands[0]?.stdin).not.toContain(' hook ');
    await one.tryOut();
    expect(exec.commands.at(-1)).toMatchObject({ args: ['--check', '-f', '-'], stdin: expect.stringContaining(' hook ') });
  });
});
