import { addressBytes } from '@gwctl/shared/domain/ip-bytes';
import { describe, expect, it } from 'vitest';
import { ip } from '../../testing/placed.js';
import { cidrs, type RelayedWords, relayed, target } from '../testing.js';
import { changeOf, mayEnd, type StandingFlow } from './change.js';

const A = target('10.0.0.1', 8000);
const B = target('10.0.0.2', 8000);
const BASE: RelayedWords = { address: '192.0.2.1', port: 5000, last: 5009, transports: ['tcp', 'udp'], targets: [A, B] };

const flow = (over: Partial<StandingFlow> = {}): StandingFlow => ({
  transport: 'tcp',
  client: addressBytes('198.51.100.7'),
  listenPort: 5003,
  target: { address: '10.0.0.1', port: 8003 },
  ...over,
});

/** What ends of a TCP and of a UDP flow to target A on port 5003, for drain, cut and keep. */
function fates(change: Partial<RelayedWords>, over: Partial<StandingFlow> = {}): string {
  return (['drain', 'cut', 'keep'] as const)
    .map((onChange) => {
      const now = relayed({ ...BASE, ...change, onChange });
      const ends = (transport: 'tcp' | 'udp') => changeOf(relayed(BASE), now).ends(flow({ transport, ...over }));
      const words = [ends('tcp') && 'tcp', ends('udp') && 'udp'].filter(Boolean);
      if (words.length > 0) expect(mayEnd(relayed(BASE), now)).toBe(true);
      return `${onChange}: ${words.join(' ') || 'none'}`;
    })
    .join(', ');
}

describe('changeOf', () => {
  it.each<[string, Partial<RelayedWords>, string]>([
    ['nothing', {}, 'drain: none, cut: none, keep: none'],
    ['another weight', { targets: [target('10.0.0.1', 8000, 9), B] }, 'drain: none, cut: none, keep: none'],
    ['a target is gone', { targets: [B] }, 'drain: udp, cut: tcp udp, keep: none'],
    ['a target is down', { targets: [B], down: [A] }, 'drain: tcp udp, cut: tcp udp, keep: none'],
    ['another port of the target', { targets: [target('10.0.0.1', 8001), B] }, 'drain: udp, cut: tcp udp, keep: none'],
    ['the port is no longer listened on', { last: 5002 }, 'drain: udp, cut: tcp udp, keep: none'],
    ['more ports', { last: 5019 }, 'drain: none, cut: none, keep: none'],
    ['shifted with its target', { port: 5002, targets: [target('10.0.0.1', 8002)] }, 'drain: none, cut: none, keep: none'],
    ['shifted without', { port: 5002 }, 'drain: udp, cut: tcp udp, keep: none'],
    ['only TCP is left', { transports: ['tcp'] }, 'drain: udp, cut: udp, keep: none'],
    ['another listening address', { address: '192.0.2.2' }, 'drain: udp, cut: tcp udp, keep: none'],
    ['another source address', { source: ip('10.0.0.9') }, 'drain: none, cut: tcp udp, keep: none'],
    ['the client is not allowed', { allow: cidrs('203.0.113.0/24') }, 'drain: tcp udp, cut: tcp udp, keep: tcp udp'],
    ['the client is still allowed', { allow: cidrs('198.51.100.0/24') }, 'drain: none, cut: none, keep: none'],
    ['nobody is allowed', { allow: [] }, 'drain: tcp udp, cut: tcp udp, keep: tcp udp'],
  ])('%s', (_, change, expected) => {
    expect(fates(change)).toBe(expected);
  });

  it('leaves flows to the targets that stay', () => {
    const other = { target: { address: '10.0.0.2', port: 8003 } };
    expect(fates({ targets: [B], down: [A] }, other)).toBe('drain: none, cut: none, keep: none');
  });
});

describe('mayEnd', () => {
  it('need not look at flows where targets or networks are only added', () => {
    const was = relayed({ ...BASE, allow: cidrs('10.0.0.0/8') });
    const now = relayed({ ...BASE, targets: [A, B, target('10.0.0.3', 8000)], allow: cidrs('10.0.0.0/8', '192.0.2.0/24') });
    expect(mayEnd(was, now)).toBe(false);
  });
});
