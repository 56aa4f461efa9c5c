import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseAddress, parseConfig, type ServeFlags } from './parse-config.js';

const flags: ServeFlags = {
  dataDir: '/var/lib/gwctl',
  listen: '127.0.0.1:7443',
  advertise: [],
  http: '127.0.0.1:7080',
  logLevel: 'info',
};

describe('configuration', () => {
  it('has sensible defaults', () => {
    expect(parseConfig(flags, {})).toEqual({
      ok: true,
      value: {
        dataDir: '/var/lib/gwctl',
        database: { kind: 'embedded' },
        listen: { host: '127.0.0.1', port: 7443 },
        advertise: [],
        http: { host: '127.0.0.1', port: 7080 },
        logLevel: 'info',
      },
    });
  });

  it('says all that is wrong at once', () => {
    const { dataDir: _, ...rest } = flags;
    const bad = { ...rest, listen: 'x', http: 'y:99999', advertise: ['z'], logLevel: 'loud' };
    const parsed = parseConfig(bad, { GWCTL_DATABASE_URL: 'mysql://secret@x' });
    expect(parsed.ok).toBe(false);
    const problems = parsed.ok ? [] : parsed.error;
    for (const name of ['--data-dir', '--listen', '--http', '--advertise', '--log-level', 'GWCTL_DATABASE_URL'])
      expect(problems.filter((p) => p.startsWith(`${name}:`))).toHaveLength(1);
  });

  it.each([
    ['listens everywhere and advertises nothing', { listen: '0.0.0.0:7443' }, '--advertise'],
    ['advertises a wildcard', { advertise: ['[::]:7443'] }, '--advertise'],
    ['advertises port 0', { advertise: ['gw.example.net:0'] }, '--advertise'],
    ['puts both listeners on one port', { http: '127.0.0.1:7443' }, '--http'],
    ['names two databases', { databaseUrl: 'postgresql://a/b', databaseUrlFile: '/x' }, '--database-url and --database-url-file'],
    ['names an unreadable file', { databaseUrlFile: '/nonexistent/url' }, '--database-url-file'],
  ])('refuses one that %s', (_, change, name) => {
    const parsed = parseConfig({ ...flags, ...change }, {});
    expect(parsed.ok ? [] : parsed.error.filter((p) => p.startsWith(name))).toHaveLength(1);
  });

  it('never repeats the database URL, which may hold a password', () => {
    for (const url of ['mysql://u:hunter2@h/d', 'postgresql//u:hunter2@h', 'hunter2']) {
      const parsed = parseConfig({ ...flags, databaseUrl: url }, {});
      expect(parsed.ok).toBe(false);
      expect(JSON.stringify(parsed)).not.toContain('hunter2');
    }
  });

  it('reads the database URL from a file, so that it is in no process list', () => {
    const dir = mkdtempSync(join(tmpdir(), 'gwctl-config-'));
    const file = join(dir, 'url');
    writeFileSync(file, 'postgresql://u:p@db:5432/gwctl\n');
    expect(parseConfig({ ...flags, databaseUrlFile: file }, {})).toMatchObject({
      value: { database: { kind: 'url', url: 'postgresql://u:p@db:5432/gwctl' } },
    });
    rmSync(dir, { recursive: true });
  });

  it('reads addresses, and never throws', () => {
    expect(parseAddress('[::1]:7443')).toEqual({ ok: true, value: { host: '::1', port: 7443 } });
    expect(parseAddress('control.example.net:1')).toEqual({ ok: true, value: { host: 'control.example.net', port: 1 } });
    for (const bad of ['', ':1', 'a', 'a:', 'a:b', '::1:80', '1.2.3.4.5:1', '[x]:1', 'a b:1', 'a:65536'])
      expect([bad, parseAddress(bad).ok]).toEqual([bad, false]);
    fc.assert(fc.property(fc.string(), (text) => typeof parseAddress(text).ok === 'boolean'));
  });
});
