import { describe, expect, it } from 'vitest';
import { commandAs, decideRunAs } from './run-as.js';

const passwd = 'root:x:0:0:root:/root:/bin/sh\npostgres:x:101:104:PostgreSQL:/var/lib/postgresql:/bin/bash\n';
const everyUid = '         0          0 4294967295\n';
const onlyRoot = '         0       1001          1\n';

describe('as whom PostgreSQL runs', () => {
  it.each([
    ['an ordinary user', { uid: 1001, uidMap: everyUid, passwd }, { kind: 'self' }],
    ['real root', { uid: 0, uidMap: everyUid, passwd }, { kind: 'user', name: 'postgres', uid: 101, gid: 104 }],
    ['root of a namespace that maps nobody else', { uid: 0, uidMap: onlyRoot, passwd }, { kind: 'namespace' }],
  ])('%s', (_, surroundings, expected) => {
    expect(decideRunAs(surroundings)).toEqual(expected);
  });

  it('says what to do where root has nobody to drop to', () => {
    expect(() => decideRunAs({ uid: 0, uidMap: everyUid, passwd: 'root:x:0:0::/:/bin/sh' })).toThrow(/useradd/);
    expect(() => decideRunAs({ uid: 0, uidMap: everyUid, passwd: 'postgres:x:0:0::/:/bin/sh' })).toThrow(/useradd/);
  });

  it('wraps the command only in a namespace', () => {
    expect(commandAs({ kind: 'self' }, ['postgres', '-D', 'x'])).toEqual(['postgres', '-D', 'x']);
    expect(commandAs({ kind: 'namespace' }, ['postgres'])).toContain('--map-user=65534');
  });
});
