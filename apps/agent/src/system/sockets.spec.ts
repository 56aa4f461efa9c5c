import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isConnection, parseSockets } from './sockets.js';

const TCP = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1060 1 0000000000000000 100 0 0 10 0
   1: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1061 1 0000000000000000 100 0 0 10 0
   2: 0A7100CB:01BB 026433C6:9C40 01 00000000:00000000 00:00000000 00000000     0        0 1062 1 0000000000000000 20 4 30 10 -1
`;
const TCP6 = `  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000000000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2060 1 0000000000000000 100 0 0 10 0
   1: 0000000000000000FFFF00000A7100CB:1F91 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2061 1 0000000000000000 100 0 0 10 0
   2: B80D0120000000000000000001000000:1F92 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2062 1 0000000000000000 100 0 0 10 0
`;
const UDP = `   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  10: 00000000:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 3060 2 0000000000000000 0
  11: 0100007F:0036 0100007F:0037 01 00000000:00000000 00:00000000 00000000     0        0 3061 2 0000000000000000 0
`;
const shown = (text: string, protocol: 'tcp' | 'udp') =>
  parseSockets(text, protocol).map((s) => `${s.address?.text ?? '*'} ${s.port} ${s.inode}`);

describe('parseSockets', () => {
  it('finds what listens, and no connections', () => {
    expect(shown(TCP, 'tcp')).toEqual(['* 22 1060', '127.0.0.1 5432 1061']);
    expect(shown(TCP6, 'tcp')).toEqual(['* 8080 2060', '203.0.113.10 8081 2061', '2001:db8::1 8082 2062']);
    expect(shown(UDP, 'udp')).toEqual(['* 53 3060']);
  });

  it('tells connections, after which no listeners come', () => {
    expect(TCP.split('\n').map(isConnection)).toEqual([false, false, false, true, false]);
  });

  it('takes anything without failing', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(parseSockets(text, 'tcp').every((s) => s.port >= 1)).toBe(true);
      }),
    );
  });
});
