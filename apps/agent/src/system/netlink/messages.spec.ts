import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  addresses,
  attributes,
  dumpRequest,
  endOfDump,
  generations,
  links,
  sockets,
  socketsRequest,
  splitMessages,
} from './messages.js';

/** What the end of a transaction of iptables-nft is announced with: its generation, process id and name. */
const NEWGEN = Buffer.from(
  '380000000f0a00000000000019760000' +
    '0000' +
    '0539' +
    '0800010000000539' +
    '0800020000007619' +
    '11000300' +
    '69707461626c65732d6e667400' +
    '000000',
  'hex',
);

describe('generations', () => {
  it('reads who changed rules', () => {
    const fixed = Buffer.from(NEWGEN);
    fixed.writeUInt32LE(fixed.length, 0);
    expect(generations(splitMessages(fixed))).toEqual([{ id: 1337, port: 30233, pid: 30233, process: 'iptables-nft' }]);
  });

  it('leaves out announcements of single objects', () => {
    const rule = Buffer.from('14000000060a00000000000000000000' + '02000000', 'hex');
    expect(generations(splitMessages(rule))).toEqual([]);
  });
});

const attribute = (type: number, value: Buffer) => {
  const head = Buffer.alloc(4);
  head.writeUInt16LE(4 + value.length, 0);
  head.writeUInt16LE(type, 2);
  return Buffer.concat([head, value, Buffer.alloc((4 - (value.length % 4)) % 4)]);
};
const message = (type: number, body: Buffer) => {
  const request = dumpRequest(type, body);
  request.writeUInt16LE(type, 4);
  return request;
};

describe('addresses and links', () => {
  const link = Buffer.alloc(16);
  link.writeInt32LE(7, 4);
  const address = (family: number, prefix: number) => {
    const head = Buffer.alloc(8);
    head.writeUInt8(family, 0);
    head.writeUInt8(prefix, 1);
    head.writeUInt32LE(7, 4);
    return head;
  };
  const data = Buffer.concat([
    message(16, Buffer.concat([link, attribute(3, Buffer.from('eth0.100\0'))])),
    message(
      20,
      Buffer.concat([address(2, 24), attribute(1, Buffer.from([10, 0, 0, 9])), attribute(2, Buffer.from([10, 0, 0, 1]))]),
    ),
    message(20, Buffer.concat([address(10, 64), attribute(1, Buffer.from('20010db8000000000000000000000001', 'hex'))])),
    message(3, Buffer.alloc(4)),
  ]);

  it('are read with their interface, and of a point-to-point link our end', () => {
    const messages = splitMessages(data);
    expect([...links(messages)]).toEqual([[7, 'eth0.100']]);
    expect(addresses(messages).map((a) => `${a.link} ${a.address.text}/${a.prefix}`)).toEqual([
      '7 10.0.0.1/24',
      '7 2001:db8::1/64',
    ]);
    expect(endOfDump(messages)).toEqual({ errno: 0 });
  });

  it('an error of the kernel ends a dump', () => {
    const error = Buffer.alloc(4);
    error.writeInt32LE(-1, 0);
    expect(endOfDump(splitMessages(message(2, error)))).toEqual({ errno: 1 });
    expect(endOfDump(splitMessages(message(20, error)))).toBeUndefined();
  });
});

describe('sockets', () => {
  const socket = (family: number, address: string, port: number, inode: number) => {
    const body = Buffer.alloc(72);
    body.writeUInt8(family, 0);
    body.writeUInt16BE(port, 4);
    Buffer.from(address, 'hex').copy(body, 8);
    body.writeUInt32LE(inode, 68);
    return message(20, body);
  };
  it('are read with address, port and inode', () => {
    const data = Buffer.concat([
      socket(2, '00000000', 22, 1),
      socket(2, 'cb00710a', 443, 2),
      socket(10, '00'.repeat(16), 80, 3),
      socket(10, `${'00'.repeat(10)}ffffcb00710a`, 81, 4),
    ]);
    expect(sockets(splitMessages(data)).map((s) => [s.address === 'any' ? '*' : s.address.text, s.port, s.inode])).toEqual([
      ['*', 22, 1],
      ['203.0.113.10', 443, 2],
      ['*', 80, 3],
      ['203.0.113.10', 81, 4],
    ]);
    expect(socketsRequest({ family: 6, protocol: 'udp', states: 128 }).subarray(0, 8).toString('hex')).toBe('0a11000080000000');
  });
});

it('whatever arrives is read without failing, and nothing beyond its end', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      const data = Buffer.from(bytes);
      for (const m of splitMessages(data)) expect(m.body.length).toBeLessThanOrEqual(data.length);
      const messages = splitMessages(data);
      generations(messages);
      addresses(messages);
      links(messages);
      sockets(messages);
      endOfDump(messages);
      for (const [, value] of attributes(data)) expect(value.length).toBeLessThanOrEqual(data.length);
    }),
  );
});
