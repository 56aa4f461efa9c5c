import { addressBytes } from '@gwctl/shared/domain/ip-bytes';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { attribute, bigEndian16, bigEndian32, byte, nested } from './attributes.js';
import { deleteRequest, FlowReader, flowsRequest, narrowRequest, refusedFlows } from './conntrack.js';
import { splitMessages } from './messages.js';

const tuple = (type: number, from: string, to: string, proto: number, ports?: readonly [number, number]) => {
  const family = from.includes(':') ? 6 : 4;
  const first = family === 4 ? 1 : 3;
  return nested(
    type,
    nested(1, attribute(first, addressBytes(from)), attribute(first + 1, addressBytes(to))),
    nested(2, byte(1, proto), ...(ports ? [bigEndian16(2, ports[0]), bigEndian16(3, ports[1])] : [])),
  );
};
const message = (family: 2 | 10, ...attributes: readonly Buffer[]) => ({
  type: 0x100,
  port: 0,
  body: Buffer.concat([Buffer.from([family, 0, 0, 0]), ...attributes]),
});

describe('flows in netlink messages', () => {
  const connection = message(
    2,
    tuple(1, '198.51.100.2', '203.0.113.10', 6, [40000, 443]),
    tuple(2, '10.0.0.10', '10.0.0.1', 6, [8443, 40000]),
    nested(4, nested(1, byte(1, 3))),
    bigEndian32(8, 0x1000000),
    bigEndian32(12, 0xfedcba98),
  );

  it('are read whole, with what names them to the kernel', () => {
    const listed = new FlowReader().read(connection);
    expect(listed).toMatchObject({ family: 4, protocol: 'tcp', destination: '203.0.113.10', destinationPort: 443 });
    expect(listed?.flow()).toMatchObject({
      protocol: 'tcp',
      state: 'ESTABLISHED',
      original: { source: '198.51.100.2', destination: '203.0.113.10', sourcePort: 40000, destinationPort: 443 },
      reply: { source: '10.0.0.10', destination: '10.0.0.1', sourcePort: 8443, destinationPort: 40000 },
      mark: 0x1000000,
      handle: { id: 0xfedcba98 },
    });
  });

  it('are read of IPv6 and without ports', () => {
    const ping = message(10, tuple(1, 'fd00::2', 'fd00::1', 58), tuple(2, 'fd00::1', 'fd00::2', 58), bigEndian32(12, 7));
    const read = new FlowReader().read(ping)?.flow();
    expect(read).toMatchObject({ family: 6, protocol: 58, original: { source: 'fd00::2', destinationPort: 0 }, mark: 0 });
  });

  it('are left out where they are cut short, whatever comes', () => {
    fc.assert(
      fc.property(fc.nat(connection.body.length), fc.uint8Array(), (at, more) => {
        const body = Buffer.concat([connection.body.subarray(0, at), Buffer.from(more)]);
        new FlowReader().read({ ...connection, body })?.flow();
      }),
    );
    expect(new FlowReader().read({ ...connection, type: 0x101 })).toBeUndefined();
    const { body } = connection;
    expect(new FlowReader().read({ ...connection, body: body.subarray(0, body.length - 8) })?.flow()).toBeUndefined();
  });

  it('are removed by tuple and id, in their zone, and never without a tuple', () => {
    const handle = new FlowReader().read(connection)?.flow()?.handle;
    if (!handle) throw new Error('no handle');
    const [request] = splitMessages(deleteRequest(4, { ...handle, zone: 5 }));
    expect(request?.type).toBe(0x102);
    const sent = new FlowReader().read({ type: 0x100, port: 0, body: request?.body ?? Buffer.alloc(0) });
    expect(sent).toMatchObject({ destination: '203.0.113.10', destinationPort: 443 });
    // CTA_ID and CTA_ZONE, in network byte order.
    expect(request?.body.toString('hex')).toContain('08000c00fedcba98060012000005');
    expect(() => deleteRequest(4, { tuple: Buffer.alloc(0), id: 1 })).toThrow('without its original tuple');
  });

  it('are narrowed down by the kernel only where that is sound', () => {
    expect(narrowRequest({ protocol: 'any' })).toBeUndefined();
    expect(narrowRequest({ protocol: 'tcp', ports: { first: 1, last: 9 } })).toBeUndefined();
    // The kernel's filter by addresses of IPv6 leaves out what it should find.
    expect(narrowRequest({ family: 6, protocol: 'any', address: 'fd00::1' })).toBeUndefined();
    expect(narrowRequest({ protocol: 'any', address: '203.0.113.10' })?.includes(Buffer.from(addressBytes('203.0.113.10')))).toBe(
      true,
    );
    expect(narrowRequest({ family: 6, protocol: 'tcp', port: 443 })).toBeDefined();
    expect(splitMessages(flowsRequest(6, 1))).toMatchObject([{ type: 0x101 }]);
  });

  it('that were refused are summed up over processors', () => {
    const cpu = (failed: number, dropped: number) => ({
      type: 0x104,
      port: 0,
      body: Buffer.concat([Buffer.alloc(4), bigEndian32(9, failed), bigEndian32(10, dropped)]),
    });
    expect(refusedFlows([cpu(1, 2), cpu(3, 4), connection])).toBe(10);
  });
});
