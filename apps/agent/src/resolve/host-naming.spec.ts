import { mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HostFiles, parseHosts, parseResolvConf } from './host-naming.js';

describe('resolv.conf', () => {
  it.each([
    ['nameserver 10.0.0.2\n', ['10.0.0.2:53']],
    [
      '# made by hand\nsearch lan\nnameserver\t2001:db8::53\nnameserver 10.0.0.2 \noptions edns0\n',
      ['[2001:db8::53]:53', '10.0.0.2:53'],
    ],
    ['nameserver fe80::1%eth0\n', ['[fe80::1%eth0]:53']],
    [
      'nameserver 1.1.1.1\nnameserver 1.1.1.2\nnameserver 1.1.1.3\nnameserver 1.1.1.4\n',
      ['1.1.1.1:53', '1.1.1.2:53', '1.1.1.3:53'],
    ],
    ['#nameserver 10.0.0.2\nnameserver dns.example\n', ['127.0.0.1:53']],
    ['', ['127.0.0.1:53']],
  ])('%j', (text, servers) => expect(parseResolvConf(text)).toEqual(servers));
});

describe('hosts', () => {
  const read = (text: string) => Object.fromEntries([...parseHosts(text)].map(([n, a]) => [n, a.map((x) => x.text)]));

  it('takes names and aliases of both families in lower case', () => {
    expect(read('10.0.0.1  DB.example.com db # the old one\n2001:db8::1 db\n')).toEqual({
      'db.example.com': ['10.0.0.1'],
      db: ['10.0.0.1', '2001:db8::1'],
    });
  });

  it('skips what makes no sense', () => {
    expect(read('# 10.0.0.1 a\n\nfe80::1%lo b\n10.0.0.300 c\n10.0.0.2\n10.0.0.3 -d- e\n')).toEqual({ e: ['10.0.0.3'] });
  });
});

describe('the files of the host', () => {
  let dir: string;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'gwctl-naming-'));
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));
  const files = () => new HostFiles({ resolvConf: join(dir, 'resolv.conf'), hosts: join(dir, 'hosts') });

  it('are the same object until one of them changes', async () => {
    const host = files();
    const empty = host.read();
    expect(empty).toEqual({ servers: ['127.0.0.1:53'], names: new Map() });
    expect(host.read()).toBe(empty);
    await writeFile(join(dir, 'stub.conf'), 'nameserver 10.0.0.2\n');
    await symlink('stub.conf', join(dir, 'resolv.conf'));
    await writeFile(join(dir, 'hosts'), '10.0.0.1 db\n');
    const first = host.read();
    expect(first.servers).toEqual(['10.0.0.2:53']);
    expect(first.names.get('db')?.[0]?.text).toBe('10.0.0.1');
    expect(host.read()).toBe(first);
    // As resolvconf and editors do: another file of the same size under the same name.
    await writeFile(join(dir, 'new'), 'nameserver 10.0.0.3\n');
    await rename(join(dir, 'new'), join(dir, 'stub.conf'));
    expect(host.read().servers).toEqual(['10.0.0.3:53']);
    await rm(join(dir, 'hosts'));
    expect(host.read().names.size).toBe(0);
  });

  it('that cannot be read hold what they held, and it is said', async () => {
    const host = new HostFiles({ resolvConf: dir, hosts: join(dir, 'hosts') });
    expect(host.read()).toEqual({
      servers: ['127.0.0.1:53'],
      names: new Map(),
      trouble: `${dir} cannot be read (EISDIR)`,
    });
    expect(host.read()).toBe(host.read());
  });
});
