import { describe, expect, it } from 'vitest';
import { commands } from '../commands/index.js';
import { type Names, offer } from './completion.js';

const names: Names = async (of) =>
  ({ forwards: ['web', 'dns'], egresses: ['lan-out'], gateways: ['gw1', 'gw2'], contexts: ['default', 'lab'] })[of];

const offered = async (line: string) => {
  const result = await offer(commands, line.split(' '), names);
  return result.kind === 'files' ? 'files' : result.candidates.map((c) => c.word);
};

describe('offer', () => {
  it.each([
    ['for', ['forward']],
    ['forward ', ['add', 'list', 'get', 'set', 'delete', 'enable', 'disable', 'extend']],
    ['forward de', ['delete']],
    ['forward get ', ['web', 'dns']],
    ['forward get w', ['web']],
    ['forward get web ', []],
    ['forward delete web ', ['web', 'dns']],
    ['forward add web --gateway ', ['gw1', 'gw2']],
    ['forward add web --driver ', ['auto', 'kernel', 'relay']],
    ['forward add web --proxy-protocol ', ['none', 'v1', 'v2']],
    ['forward set web --max-', ['--max-connections', '--max-connections-per-client']],
    ['forward set web --connect-timeout ', ['default']],
    ['forward add web --dr', ['--driver', '--dry-run']],
    ['forward add web --driver auto --dr', ['--dry-run']],
    ['forward add web --target a --tar', ['--target']],
    ['forward set web --no', ['--no-clamp-mss', '--no-announce', '--no-takeover']],
    ['egress get ', ['lan-out']],
    ['egress add x --snat ', ['masquerade']],
    ['gateway set gw1 --drift ', ['repair', 'report']],
    ['forward list -o ', ['table', 'wide', 'json', 'yaml', 'name']],
    ['-o json forward list --st', ['--state']],
    ['--context ', ['default', 'lab']],
    ['--timeout ', []],
    ['--context lab ver', ['version']],
    ['context use l', ['lab']],
    ['completion ', ['bash', 'zsh', 'fish']],
    ['login --ca ', 'files'],
    ['nonsense ', []],
    ['__', []],
    ['version --', ['--output', '--help']],
  ])('"%s": %j', async (line, expected) => {
    expect(await offered(line)).toEqual(expected);
  });
});
