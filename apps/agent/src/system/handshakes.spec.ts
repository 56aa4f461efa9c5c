import { parseIp } from '@gwctl/shared/domain/ip';
import { describe, expect, it } from 'vitest';
import { handshakesOver } from './handshakes.js';

const ip = (text: string) => {
  const parsed = parseIp(text);
  if (!parsed.ok) throw new Error(parsed.error);
  return parsed.value;
};
const listener = { address: ip('192.0.2.1'), ports: { first: 80, last: 89 } };
const half = (address: string, port: number) => ({ address: ip(address), port });

/** Looks give one answer after the other, the last one again and again. */
async function over(answers: readonly (readonly ReturnType<typeof half>[] | undefined)[], of = [listener]): Promise<number[]> {
  const waits: number[] = [];
  let look = 0;
  await handshakesOver({
    read: () => answers[Math.min(look++, answers.length - 1)],
    wait: async (ms) => void waits.push(ms),
  })(of);
  return waits;
}

describe('handshakes that are half done', () => {
  it('are waited for, and nothing else is', async () => {
    expect(await over([[]])).toEqual([]);
    expect(await over([[half('192.0.2.1', 90), half('192.0.2.2', 80)]])).toEqual([]);
    expect(await over([[half('192.0.2.1', 89)], [half('192.0.2.1', 80)], []])).toEqual([20, 20]);
    const anywhere = { ports: listener.ports };
    expect(await over([[half('198.51.100.7', 80)], []], [anywhere as typeof listener])).toEqual([20]);
    expect(await over([[half('192.0.2.1', 80)]], [])).toEqual([]);
  });

  it('of clients who never answer are waited for three seconds', async () => {
    expect((await over([[half('192.0.2.1', 80)]])).reduce((sum, ms) => sum + ms, 0)).toBe(3_000);
  });

  it('have half a second where nobody can tell', async () => {
    expect(await over([undefined])).toEqual([500]);
  });
});
