import { describe, expect, it } from 'vitest';
import { proxyHeaderV2 } from '../core/proxy-protocol.js';
import { type EngineUnderTest, freePorts, to, useStage } from './stage.js';

/** How targets learn who the client is. */
export function proxySuite(under: EngineUnderTest): void {
  describe('the PROXY protocol', () => {
    const on = useStage(under);

    it.each([
      ['127.0.0.1', 'TCP4'],
      ['::1', 'TCP6'],
    ])('writes version 1 in front for %s', async (address, family) => {
      const stage = on();
      const { service, port } = await stage.carried({ address, proxyProtocol: 'v1' });
      const client = stage.connect(port, { to: address }).end('payload');
      const there = await service.next();
      const header = `PROXY ${family} ${address} ${address} ${client.localPort} ${port}\r\n`;
      expect((await there.rest()).toString()).toBe(`${header}payload`);
      there.end();
      await client.rest();
      expect((await stage.counts()).bytes).toBe(7);
    });

    it.each(['127.0.0.1', '::1'])('writes version 2 in front for %s', async (address) => {
      const stage = on();
      const { service, port } = await stage.carried({ address, proxyProtocol: 'v2' });
      const client = stage.connect(port, { to: address }).end('payload');
      const [there, listener] = [await service.next(), { address, port }];
      const header = proxyHeaderV2({ transport: 'tcp', client: { address, port: client.localPort }, listener });
      expect((await there.rest()).toString('hex')).toBe(Buffer.concat([header, Buffer.from('payload')]).toString('hex'));
    });

    it('does not wait for the client to speak first', async () => {
      const stage = on();
      const { service, port } = await stage.carried({ proxyProtocol: 'v1' });
      const client = stage.connect(port);
      const there = await service.next();
      expect(await there.read(10)).toBe('PROXY TCP4');
      there.send('welcome');
      expect(await client.read(7)).toBe('welcome');
    });

    it('stands before every datagram', async () => {
      const stage = on();
      const [there, client, port] = [await stage.datagrams(), await stage.datagrams(), await freePorts()];
      await stage.carry({ port, transports: ['udp'], targets: [to(there)], proxyProtocol: 'v2' });
      const listener = { address: '127.0.0.1', port };
      const header = proxyHeaderV2({ transport: 'udp', client, listener });
      for (const payload of ['one', 'two', '']) {
        client.send(payload, listener);
        const arrived = await there.next();
        expect(arrived.data.toString('hex')).toBe(Buffer.concat([header, Buffer.from(payload)]).toString('hex'));
        there.send('back', arrived);
        expect(await client.text()).toBe('back');
      }
    });
  });
}
