import { parseIp } from '@gwctl/shared/domain/ip';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addRequest, removeRequest } from './address-changes.js';
import { attribute, hostEndian32 } from './attributes.js';
import { splitMessages } from './messages.js';
import { forwardingSettings, linkEvents } from './route-events.js';

const address = (text: string) => {
  const parsed = parseIp(text);
  if (!parsed.ok) throw new Error(parsed.error);
  return parsed.value;
};
const message = (type: number, ...parts: readonly Buffer[]) => ({ type, port: 0, body: Buffer.concat(parts) });

describe('what the kernel announces of links', () => {
  it('is read of addresses that come and go', () => {
    const added = splitMessages(addRequest({ index: 3, name: 'eth0' }, address('192.168.100.3')));
    const removed = splitMessages(removeRequest(3, address('fd00::3')));
    expect(linkEvents([...added, ...removed])).toMatchObject([
      { kind: 'address', gone: false, link: 3, address: { text: '192.168.100.3' } },
      { kind: 'address', gone: true, link: 3, address: { text: 'fd00::3' } },
    ]);
  });

  it('is read of links, whether they carry anything', () => {
    const header = Buffer.alloc(16);
    header.writeInt32LE(3, 4);
    header.writeUInt32LE(1 | (1 << 16), 8);
    const name = attribute(3, Buffer.from('eth0\0'));
    expect(linkEvents([message(16, header, name)])).toEqual([
      { kind: 'link', gone: false, link: 3, name: 'eth0', running: true },
    ]);
    header.writeUInt32LE(1, 8);
    expect(linkEvents([message(17, header, name)])).toMatchObject([{ gone: true, running: false }]);
  });

  it('is read of forwarding, of all and of one', () => {
    const settings = (family: number, link: number, on: number) =>
      message(80, Buffer.from([family, 0, 0, 0]), hostEndian32(1, link), hostEndian32(2, on));
    const messages = [settings(2, -1, 0), settings(10, 3, 1), settings(2, -2, 1)];
    expect(forwardingSettings(messages)).toEqual([
      { family: 4, on: false },
      { family: 6, on: true, link: 3 },
    ]);
    expect(linkEvents(messages).map((e) => e.kind)).toEqual(['forwarding', 'forwarding']);
  });

  it('may be anything', () => {
    fc.assert(
      fc.property(fc.constantFrom(16, 17, 20, 21, 24, 25, 80, 81), fc.uint8Array(), (type, body) => {
        linkEvents([message(type, Buffer.from(body))]);
      }),
    );
  });
});
