import { describe, expect, it } from 'vitest';
import { Dice } from './pattern.js';
import type { Peer, Service } from './peers.js';
import { type EngineUnderTest, freePorts, to, useStage } from './stage.js';
import { type Outcome, type Role, Talk } from './talk.js';

/** Connections at a time. */
const LANES = 16;

export interface IntegritySize {
  readonly connections: number;
  /** Bytes in one direction. */
  readonly largest: number;
  /** Milliseconds. */
  readonly within: number;
  /** Of everything that is random; told by a failure. */
  readonly seed: number;
}

const MIB = 1024 * 1024;

/** `GWCTL_LONG`: at length. `GWCTL_SEED`: as it was when something failed. */
export function integritySize(env: Readonly<Record<string, string | undefined>>): IntegritySize {
  const seed = Number(env.GWCTL_SEED ?? Math.floor(Math.random() * 2 ** 31));
  return env.GWCTL_LONG
    ? { connections: 2_000, largest: 64 * MIB, within: 1_800_000, seed }
    : { connections: 100, largest: 4 * MIB, within: 30_000, seed };
}

interface Plan {
  readonly client: Role;
  readonly target: Role;
}

/** What arrives is what was sent, or both sides see the reset: connections that differ in everything, from a seed that is told. */
export function integritySuite(under: EngineUnderTest, { connections, largest, within, seed }: IntegritySize): void {
  describe('integrity', () => {
    const on = useStage(under);

    it(
      `${connections} connections of up to ${largest} bytes each way`,
      async () => {
        const stage = on();
        const [port, first] = [await freePorts(LANES), await freePorts(LANES)];
        const services = await Promise.all(Array.from({ length: LANES }, (_, i) => stage.service('127.0.0.1', first + i)));
        await stage.carry({ port, last: port + LANES - 1, targets: [to({ address: '127.0.0.1', port: first })] });
        let next = 0;
        const seen = { ended: 0, reset: 0, bytes: 0 };
        const lane = async (service: Service, listenPort: number) => {
          for (let n = next++; n < connections; n = next++) {
            const plan = planOf(seed, n, largest);
            const [client, target] = await play(plan, stage.connect(listenPort), service);
            const told = `seed ${seed}, connection ${n}: ${JSON.stringify({ plan, client, target })}`;
            judge(plan.client, plan.target, client, target, told);
            judge(plan.target, plan.client, target, client, told);
            if (client.saw === 'end' && target.saw === 'end') seen.ended += 1;
            else seen.reset += 1;
            seen.bytes += client.received + target.received;
          }
        };
        await Promise.all(services.map((service, i) => lane(service, port + i)));
        // So that a mistake of the test does not make it one that cannot fail.
        expect(seen.ended).toBeGreaterThan(connections / 3);
        expect(seen.reset).toBeGreaterThan(connections / 10);
        expect(seen.bytes).toBeGreaterThan(largest);
        const counts = await stage.until('all is over', (c) => c.open === 0);
        expect(counts).toMatchObject({ flows: connections, failed: 0, refused: 0, limited: 0 });
        expect(counts.bytes).toBeGreaterThanOrEqual(seen.bytes);
      },
      within,
    );
  });
}

function planOf(seed: number, n: number, largest: number): Plan {
  const dice = new Dice(seed + n * 2_654_435_761);
  const kind = dice.next();
  // Each size class is as likely as the next; the smallest and the largest come for sure.
  const length = () => (n === 0 ? 0 : n === 1 ? largest : Math.floor(largest ** dice.next()) - 1);
  const role = (waits: boolean): Role => ({ seed: dice.upTo(2 ** 30), length: length(), waits });
  const [client, target] = [role(kind < 0.15), role(kind > 0.85)];
  if (n < 2 || !dice.chance(0.35)) return { client, target };
  const resetAfter = dice.upTo(client.length + target.length);
  return dice.chance(0.5) ? { client: { ...client, resetAfter }, target } : { client, target: { ...target, resetAfter } };
}

/** The target greets, so that both ends of the same connection are known before anybody resets. */
async function play(plan: Plan, client: Peer, service: Service): Promise<readonly [Outcome, Outcome]> {
  const target = await service.next();
  target.send('!');
  await client.read(1);
  for (const { socket } of [client, target])
    socket.removeAllListeners('data').removeAllListeners('end').removeAllListeners('error');
  const talks = [
    new Talk(client.socket, plan.client, plan.target.seed),
    new Talk(target.socket, plan.target, plan.client.seed),
  ] as const;
  return [await talks[0].done, await talks[1].done];
}

function judge(mine: Role, theirs: Role, own: Outcome, other: Outcome, told: string): void {
  expect(own.wrongAt, told).toBeUndefined();
  expect(own.received, told).toBeLessThanOrEqual(theirs.length);
  if (own.saw === 'end') expect(own.received, told).toBe(theirs.length);
  // Somebody must have reset it: one of the two, and only who was to.
  if (own.saw === 'reset') expect(other.saw, told).toBe('own reset');
  if (own.saw === 'own reset') expect(mine.resetAfter, told).toBeDefined();
  if (own.saw === 'end' && other.saw === 'end') expect([own.finished, other.finished], told).toEqual([true, true]);
}
