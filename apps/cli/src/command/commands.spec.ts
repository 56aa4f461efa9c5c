/** What must be so of every command that there is. */
import { describe, expect, it } from 'vitest';
import { commands } from '../commands/index.js';
import type { Command } from './definition.js';
import { flagOf } from './definition.js';
import { optionsOf } from './globals.js';
import { commandHelp, groupHelp } from './help.js';
import { parseWords } from './parse.js';
import { type Group, visible } from './tree.js';

async function everyCommand(group: Group, path: readonly string[]): Promise<{ path: string; command: Command }[]> {
  const found = await Promise.all(
    visible(group).map(async ([name, node]) => {
      const here = [...path, name];
      return node.kind === 'group' ? everyCommand(node, here) : [{ path: here.join(' '), command: await node.load() }];
    }),
  );
  return found.flat();
}

const all = await everyCommand(commands, []);

/** The words of `gwctl ...` in an example, up to a pipe or a redirection. */
const words = (line: string): string[] | undefined =>
  /(?:^|[^-\w])gwctl ((?:[^|>)]|\|(?! ))*)/
    .exec(line)?.[1]
    ?.trim()
    .split(/ +/)
    // As a shell takes quotes off.
    .map((word) => word.replace(/^'(.*)'$/, '$1'));

describe.each(all)('gwctl $path', ({ path, command }) => {
  it('is defined under its own path', () => {
    expect(command.path).toBe(path);
  });

  it('has help with an example, a summary without a full stop, and a line for each flag', () => {
    const help = commandHelp(command);
    expect(command.examples.length).toBeGreaterThan(0);
    expect(command.summary).toMatch(/^[A-Z].*[^.]$/);
    for (const [key, option] of Object.entries(optionsOf(command))) {
      expect(help).toContain(option.kind === 'toggle' ? `--[no-]${flagOf(key).slice(2)}` : flagOf(key));
      expect(option.summary).toMatch(/^[A-Z].*[^.]$/);
    }
    expect(help.split('\n').every((line) => line === line.trimEnd())).toBe(true);
  });

  it.each(command.examples)('understands its example: $command', async ({ command: line }) => {
    const found = words(line);
    expect(found).toBeDefined();
    const own = path.split(' ');
    expect(found!.slice(0, own.length)).toEqual(own);
    const rest = found!.slice(own.length).map((w) => (w === 'ETAG' ? 'e1' : w));
    // Names that a pipe brings are not on the line.
    const parsed = parseWords(command, line.includes('xargs') && rest.length === 0 ? ['web'] : rest);
    expect(parsed.ok ? [] : parsed.error).toEqual([]);
  });
});

describe('the tree', () => {
  it('offers what is built and nothing else', () => {
    expect(all.map((c) => c.path)).toEqual([
      'login',
      'context list',
      'context use',
      'context show',
      'context delete',
      'gateway add',
      'gateway list',
      'gateway get',
      'gateway set',
      'gateway token',
      'gateway label',
      'gateway cordon',
      'gateway uncordon',
      'gateway allow-removal',
      'gateway delete',
      'forward add',
      'forward list',
      'forward get',
      'forward set',
      'forward delete',
      'forward enable',
      'forward disable',
      'forward extend',
      'egress add',
      'egress list',
      'egress get',
      'egress set',
      'egress delete',
      'egress enable',
      'egress disable',
      'status',
      'events',
      'completion',
      'version',
    ]);
  });

  it('describes a group by its commands', async () => {
    const { forward } = commands.children;
    expect(await groupHelp(commands, ['forward'], forward as Group)).toContain(
      '  extend   Let a forward that expires live longer',
    );
  });
});
