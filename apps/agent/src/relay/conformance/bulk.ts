import { createHash, randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { type Pair, pair } from './pairs.js';
import type { Peer } from './peers.js';
import { type EngineUnderTest, type Stage, useStage } from './stage.js';

const MIB = 1024 * 1024;
/** More than what any engine takes for an ordinary request or answer. */
const MUCH = 24;

/** Much in one direction: however an engine groups it to save work, no byte may wait for one that does not come. */
export function bulkSuite(under: EngineUnderTest): void {
  describe('carrying bulk', () => {
    const on = useStage(under);
    const started = async (stage: Stage): Promise<Pair> => {
      const { service, port } = await stage.carried();
      return pair(stage, port, service);
    };

    it.each(['client', 'target'] as const)(
      'carries what a %s sent before it pauses to be answered, again and again',
      async (who) => {
        const { client, there } = await started(on());
        const [sends, answers] = who === 'client' ? [client, there] : [there, client];
        for (const tail of [1, 1000, 100_000, 700_000]) {
          const [sent, got] = await poured(sends, answers, MUCH * MIB);
          expect(got).toBe(sent);
          // All of it has arrived, so what comes now comes by itself.
          sends.send(Buffer.alloc(tail, 'x'));
          expect((await answers.take(tail)).length).toBe(tail);
          answers.send('go on');
          expect(await sends.read(5)).toBe('go on');
        }
      },
    );

    it('carries the end, and what the other side says after it', async () => {
      const { client, there } = await started(on());
      const [sent, got] = await poured(client, there, MUCH * MIB);
      expect(got).toBe(sent);
      client.end('the last');
      expect((await there.rest()).toString()).toBe('the last');
      there.end('thanks');
      expect((await client.rest()).toString()).toBe('thanks');
    });

    it.each(['sender', 'receiver'] as const)('carries a reset of the %s', async (who) => {
      const { client, there } = await started(on());
      await poured(client, there, MUCH * MIB);
      const [resets, sees] = who === 'sender' ? [client, there] : [there, client];
      resets.reset();
      expect(await sees.ending()).toBe('reset');
    });

    it('drops it when nothing moves any more', async () => {
      const stage = on();
      const { service, port } = await stage.carried({ tcpIdleTimeout: 300 });
      const { client, there } = await pair(stage, port, service);
      await poured(client, there, MUCH * MIB);
      expect(await Promise.all([client.ending(), there.ending()])).toEqual(['reset', 'reset']);
    });

    it('carries several at a time, and what is said beside them', async () => {
      const stage = on();
      const { service, port } = await stage.carried();
      const pairs: Pair[] = [];
      for (let i = 0; i < 4; i++) pairs.push(await pair(stage, port, service));
      const beside = await pair(stage, port, service);
      let open = true;
      const poured4 = Promise.all(pairs.map(({ client, there }, i) => poured(client, there, MUCH * MIB + i))).finally(() => {
        open = false;
      });
      while (open) {
        beside.client.send('ping');
        expect(await beside.there.read(4)).toBe('ping');
      }
      for (const [sent, got] of await poured4) expect(got).toBe(sent);
    });
  });
}

/** Sends so much, as fast as it is taken; resolves when all of it has come, with a digest of either end. */
async function poured(from: Peer, to: Peer, bytes: number): Promise<readonly [sent: string, got: string]> {
  const sent = createHash('sha256');
  const block = randomBytes(MIB);
  for (let left = bytes; left > 0; left -= MIB) {
    const next = block.subarray(0, Math.min(left, MIB));
    sent.update(next);
    from.send(next);
  }
  const got = createHash('sha256').update(await to.take(bytes));
  return [sent.digest('hex'), got.digest('hex')];
}
