import { describe, expect, it } from 'vitest';
import { type EngineUnderTest, freePorts, to, useStage } from './stage.js';

/** Who came before a forward was removed is served, though nobody has taken him in yet. */
export function removingSuite(under: EngineUnderTest): void {
  describe('removing', () => {
    const on = useStage(under);
    /** More than an engine takes in at once. */
    const MANY = 200;
    /** Until the kernel has what was sent. */
    const sent = () => new Promise((resolve) => setImmediate(resolve));

    it('serves connections that wait to be accepted', async () => {
      const stage = on();
      const { service, port } = await stage.carried();
      service.echo();
      const clients = Array.from({ length: MANY }, () => stage.connect(port).end('x'));
      await sent();
      await stage.engine.remove(stage.uid);
      const answers = await Promise.allSettled(clients.map((client) => client.rest()));
      expect(answers.filter((a) => a.status === 'rejected').map((a) => String(a.reason))).toEqual([]);
    });

    it('sends on datagrams that wait to be read', async () => {
      const stage = on();
      const [there, port] = [await stage.datagrams(), await freePorts()];
      await stage.carry({ port, transports: ['udp'], targets: [to(there)] });
      const clients = await Promise.all(Array.from({ length: MANY / 4 }, () => stage.datagrams()));
      for (const client of clients) for (let i = 0; i < 4; i++) client.send(`${i}`, { address: '127.0.0.1', port });
      await sent();
      await stage.engine.remove(stage.uid);
      for (let i = 0; i < MANY; i++) await there.next();
    });
  });
}
