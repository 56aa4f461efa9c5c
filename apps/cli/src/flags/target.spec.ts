import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseServer } from './server.js';
import { formatHostPort, parseTarget } from './target.js';

describe('parseTarget', () => {
  it.each([
    ['192.168.2.122:10022', { host: '192.168.2.122', port: 10022 }],
    ['192.168.2.122', { host: '192.168.2.122' }],
    ['DB.Example.net:3306', { host: 'db.example.net', port: 3306 }],
    ['[2001:db8::1]:443', { host: '2001:db8::1', port: 443 }],
    ['[2001:db8::1]', { host: '2001:db8::1' }],
    ['10.0.0.31:80,weight=3', { host: '10.0.0.31', port: 80, weight: 3 }],
    ['db.example.net,weight=1000', { host: 'db.example.net', weight: 1000 }],
    ['[2001:db8::1]:443,weight=1', { host: '2001:db8::1', port: 443, weight: 1 }],
  ])('reads %s', (text, expected) => {
    expect(parseTarget(text)).toEqual({ ok: true, value: expected });
  });

  it.each([
    ['192.168.2.122:0', 'is not a port'],
    ['192.168.2.122:70000', 'is not a port'],
    ['192.168.2.122:', 'is not a port'],
    ['192.168.2:80', 'neither an IP address nor a DNS name'],
    ['2001:db8::1', 'stands in brackets'],
    ['2001:db8::1:443', 'stands in brackets'],
    ['10.0.0.31:80,weight=0', 'N from 1 to 1000'],
    ['10.0.0.31:80,weight=1001', 'N from 1 to 1000'],
    ['10.0.0.31:80,weight', 'only ,weight=N may stand behind a target'],
    ['10.0.0.31:80,10.0.0.32:80', 'only ,weight=N may stand behind a target'],
    ['10.0.0.31:80,weight=1,weight=2', 'only ,weight=N may stand behind a target'],
    ['', 'neither an IP address nor a DNS name'],
    [':80', 'neither an IP address nor a DNS name'],
    ['a b:80', 'neither an IP address nor a DNS name'],
  ])('refuses %s', (text, why) => {
    const parsed = parseTarget(text);
    expect(parsed.ok).toBe(false);
    if (!parsed.ok) expect(parsed.error).toContain(why);
  });

  it('reads back what the output shows', () => {
    const hosts = fc.oneof(
      fc.ipV4(),
      fc.constantFrom('2001:db8::1', '::1'),
      fc.domain().map((d) => d.toLowerCase()),
    );
    fc.assert(
      fc.property(hosts, fc.option(fc.integer({ min: 1, max: 65535 }), { nil: undefined }), (host, port) => {
        const expected = { host, ...(port === undefined ? {} : { port }) };
        expect(parseTarget(formatHostPort(host, port))).toEqual({ ok: true, value: expected });
      }),
    );
  });

  it('never throws', () => {
    fc.assert(fc.property(fc.string(), (text) => typeof parseTarget(text).ok === 'boolean'));
  });
});

describe('parseServer', () => {
  it.each([
    ['127.0.0.1:7443', { host: '127.0.0.1', port: 7443, text: '127.0.0.1:7443' }],
    ['Control.Example.net:7443', { host: 'control.example.net', port: 7443, text: 'control.example.net:7443' }],
    ['[::1]:7443', { host: '::1', port: 7443, text: '[::1]:7443' }],
  ])('reads %s', (text, expected) => {
    expect(parseServer(text)).toEqual({ ok: true, value: expected });
  });

  it.each(['control', 'https://control:7443', 'unix:/tmp/x', 'xds:///a:1', 'dns:///a:1', '::1:7443', 'a:0', 'a:b', '', 'a/b:1'])(
    'refuses %s',
    (text) => {
      expect(parseServer(text).ok).toBe(false);
    },
  );
});
