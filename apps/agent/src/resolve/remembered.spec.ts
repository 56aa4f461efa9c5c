import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseIp } from '@gwctl/shared/domain/ip';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Resolution } from '../planner/types.js';
import { parseRemembered, RememberedFile } from './remembered.js';

let dir: string;
let path: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'gwctl-remembered-'));
  path = join(dir, 'state', 'names.json');
});
afterEach(() => rm(dir, { recursive: true, force: true }));

function resolution(addresses: readonly string[], more: Partial<Resolution> = {}): Resolution {
  const parsed = addresses.map(parseIp).flatMap((a) => (a.ok ? [a.value] : []));
  return { addresses: parsed, fresh: true, answered: 1000, ...more };
}

describe('the last good answers', () => {
  it('come back as they were, without names that never had any', async () => {
    const view = new Map([
      ['db.example', resolution(['10.0.0.1', '2001:db8::1'])],
      ['__proto__', resolution(['10.0.0.2'], { fresh: false, trouble: 'NXDOMAIN' })],
      ['never.example', { addresses: [], fresh: false }],
    ]);
    await new RememberedFile(path).save(view);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    const { names, trouble } = await new RememberedFile(path).load();
    expect(trouble).toBeUndefined();
    expect([...names.keys()]).toEqual(['db.example', '__proto__']);
    expect(names.get('db.example')).toEqual({ addresses: view.get('db.example')?.addresses, answered: 1000 });
  });

  it('are not written again while they are the same', async () => {
    const file = new RememberedFile(path);
    await file.save(new Map([['db.example', resolution(['10.0.0.1'])]]));
    const { ino } = await stat(path);
    await file.save(new Map([['db.example', resolution(['10.0.0.1'], { fresh: false })]]));
    expect((await stat(path)).ino).toBe(ino);
  });

  it('are the latest where several come at once', async () => {
    const file = new RememberedFile(path);
    await Promise.all([1, 2, 3].map((i) => file.save(new Map([['db.example', resolution([`10.0.0.${i}`])]]))));
    expect(await readFile(path, 'utf8')).toContain('10.0.0.3');
  });

  it('that were never written are none', async () => {
    expect(await new RememberedFile(path).load()).toEqual({ names: new Map() });
  });

  it('that make no sense are none, and it is said', async () => {
    path = join(dir, 'names.json');
    await writeFile(path, '{"version":1,"names":{"db.example":{"addresses":["10.0.0.1"');
    const { names, trouble } = await new RememberedFile(path).load();
    expect(names.size).toBe(0);
    expect(trouble).toContain(`${path} is not what was written there and is ignored`);
  });

  it.each([
    ['{}', 'version must be 1'],
    ['{"version":1,"names":[]}', 'names must be an object'],
    ['{"version":1,"names":{"a b":{"addresses":["10.0.0.1"],"answered":1}}}', '"a b" is neither'],
    ['{"version":1,"names":{"a":{"addresses":[],"answered":1}}}', 'a: addresses must be a list that is not empty'],
    ['{"version":1,"names":{"a":{"addresses":["10.0.0.1; flush ruleset"],"answered":1}}}', 'is not an IP address'],
    ['{"version":1,"names":{"a":{"addresses":["10.0.0.1"],"answered":"now"}}}', 'a: answered must be'],
  ])('%s is refused', (text, why) => expect(() => parseRemembered(text)).toThrow(why));
});
