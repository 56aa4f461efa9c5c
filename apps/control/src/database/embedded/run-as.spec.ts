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

  it('stays root inside a namespace of its own, and says why, where root has nobody to drop to or nobody could get in', () => {
    const root = { uid: 0, uidMap: everyUid };
    const without = 'root:x:0:0::/:/bin/sh';
    expect(decideRunAs({ ...root, passwd: without })).toMatchObject({
      kind: 'namespace',
      because: expect.stringContaining('useradd'),
    });
    expect(decideRunAs({ ...root, passwd: 'postgres:x:0:0::/:/bin/sh' })).toMatchObject({ kind: 'namespace' });
    expect(decideRunAs({ ...root, passwd, closed: '/root' })).toMatchObject({
      kind: 'namespace',
      because: expect.stringContaining('/root'),
    });
  });

  it('goes on as whoever made the cluster', () => {
    const root = { uid: 0, uidMap: everyUid, passwd };
    expect(decideRunAs({ ...root, clusterOwner: 0 })).toMatchObject({ kind: 'namespace' });
    expect(decideRunAs({ ...root, clusterOwner: 101, closed: '/root' })).toMatchObject({ kind: 'user' });
  });

  it('wraps the command only in a namespace', () => {
    expect(commandAs({ kind: 'self' }, ['postgres', '-D', 'x'])).toEqual(['postgres', '-D', 'x']);
    expect(commandAs({ kind: 'namespace' }, ['postgres'])).toContain('--map-user=65534');
  });
});
