import { parseName } from '@gwctl/shared/domain/names';
import { ok } from '@gwctl/shared/domain/result';
import { describe, expect, it } from 'vitest';
import { parseDuration } from '../flags/duration.js';
import { argument, defineCommand, flag, implied, list, manyArguments, required, toggle, value } from './definition.js';
import { parseWords } from './parse.js';

const command = defineCommand({
  path: 'test',
  summary: 'A command with one of each',
  args: { name: argument({ placeholder: 'NAME', summary: 'the name', parse: parseName }) },
  options: {
    gateway: value({ placeholder: 'GW', summary: '', parse: parseName }),
    listen: required({ placeholder: 'PORT', summary: '', parse: ok<string>, short: 'l' }),
    target: list({ placeholder: 'HOST', summary: '', parse: ok<string> }),
    wait: implied({ placeholder: 'DURATION', summary: '', parse: parseDuration, implied: 30_000 }),
    dryRun: flag({ summary: '' }),
    announce: toggle({ summary: '' }),
  },
  formats: ['json', 'name'],
  connects: true,
  examples: [],
  run: async () => undefined,
});

const many = defineCommand({
  path: 'many',
  summary: 'A command of many words',
  args: { names: manyArguments({ placeholder: 'NAME', summary: 'names', parse: parseName }) },
  options: {},
  formats: [],
  connects: false,
  examples: [],
  run: async () => undefined,
});

const parse = (words: string) => parseWords(command, words.split(' '));
const complaints = (words: string) => {
  const parsed = parse(words);
  return parsed.ok ? [] : parsed.error.map((v) => `${v.field}: ${v.description}`);
};

describe('parseWords', () => {
  it.each([
    ['web --listen 80', { listen: '80', target: [], wait: undefined, dryRun: false, announce: undefined, gateway: undefined }],
    ['--listen=80 web', { listen: '80' }],
    ['-l 80 web', { listen: '80' }],
    ['-l80 web', { listen: '80' }],
    ['-l=80 web', { listen: '80' }],
    ['web -l 80 --target a --target=b', { target: ['a', 'b'] }],
    ['web -l 80 --wait', { wait: 30_000 }],
    ['web -l 80 --wait=5s', { wait: 5000 }],
    ['-l 80 --wait web', { wait: 30_000 }],
    ['web -l 80 --dry-run --announce', { dryRun: true, announce: true }],
    ['web -l 80 --no-announce', { announce: false }],
    ['web -l 80 -o json --timeout 5s -v', { output: 'json', timeout: 5000, verbose: true }],
    ['-l=-5 web', { listen: '-5' }],
    ['-l - web', { listen: '-' }],
  ])('reads %s', (words, expected) => {
    const parsed = parse(words);
    expect(parsed.ok && parsed.value.args).toEqual({ name: 'web' });
    expect(parsed.ok && parsed.value.options).toMatchObject(expected);
  });

  it.each([
    ['web', ['--listen: is missing; write --listen PORT']],
    ['-l 80', ['NAME: is missing: the name']],
    ['web db -l 80', ['"db": is one word too many for this command']],
    ['web -l 80 --litsen 81', ['--litsen: is not a flag of this command; did you mean --listen?']],
    ['web -l', ['-l: needs a value: -l PORT', '--listen: is missing; write --listen PORT']],
    ['web -l 80 --gateway --dry-run', ['--gateway: needs a value: --gateway GW']],
    ['web -l 80 -l 81', ['--listen: is given 2 times; once is enough']],
    ['web -l 80 --dry-run=yes', ['--dry-run: takes no value; leave out "=yes"']],
    [
      'web -l 80 --wait=soon',
      ['--wait: "soon" is not a duration; write a number with a unit (ms, s, m, h, d, w), for instance 30s or 8h'],
    ],
    ['web -l 80 -o yaml', ['--output: "yaml" is not an output format of this command; use json or name']],
    [
      'Web_1 -l 80 --gateway -',
      [
        '--gateway: "-" is not a name; use 1 to 63 of a-z, 0-9 and "-", with a letter or digit first and last',
        'NAME: "Web_1" is not a name; use 1 to 63 of a-z, 0-9 and "-", with a letter or digit first and last',
      ],
    ],
  ])('complains about %s', (words, expected) => {
    expect(complaints(words)).toEqual(expected);
  });

  it('shows control characters of an unknown flag', () => {
    expect(complaints('web -l 80 --\u001b[2J')[0]).not.toContain('\u001b');
  });

  it('takes what follows -- as words', () => {
    const parsed = parseWords(many, ['--', 'a', 'b']);
    expect(parsed.ok && parsed.value.args).toEqual({ names: ['a', 'b'] });
    expect(parseWords(many, ['--', '-l']).ok).toBe(false);
  });

  it('gives help before it complains', () => {
    expect(parse('--help')).toEqual({ ok: true, value: { args: {}, options: { help: true } } });
  });
});
