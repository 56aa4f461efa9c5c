import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { waitFor } from '../lab/index.js';
import { FlowLab } from './flow-lab.js';
import { dropInput } from './foreign.js';
import { forward } from './forwards.js';
import { IPV4, join } from './net.js';
import { LET_IN } from './relay-rows.js';
import { DRIVERS } from './topology.js';

const MOVES = process.env.GWCTL_LONG ? 400 : 20;
const PORT = 8443;
const TARGET = { address: IPV4.off, port: 7777 };

/** What clients see who connect as a forward goes from the kernel to the relay and back, while another tool drops by default. */
describe.each(DRIVERS)('connecting while a forward changes hands, %s', (driver) => {
  let world: FlowLab;
  beforeAll(async () => {
    world = await FlowLab.start(driver);
    await dropInput(world.lab.host('gw'), driver, LET_IN);
    await world.lab.host('off').serve([{ proto: 'tcp', ...TARGET }]);
  });
  afterAll(async () => {
    await world?.reset();
    await world?.stop();
  });

  const carriedBy = (carrier: 'auto' | 'relay') => {
    const moving = forward(`${join(IPV4.vip, PORT)}/tcp`, join(TARGET.address, TARGET.port));
    return world.gateway.want([{ ...moving, spec: { ...moving.spec, driver: carrier } }]);
  };

  it('none is lost, and none reaches the target with an address of its own', async () => {
    const target = world.lab.host('off');
    const stray = `ip saddr ${IPV4.wanNet} counter`;
    await target.exec(['nft', `add table inet seen; add chain inet seen in { type filter hook prerouting priority -400; }`]);
    await target.exec(['nft', `add rule inet seen in ${stray}`]);
    await carriedBy('auto');
    const prober = await world.lab.host('cli').prober({ to: IPV4.vip, port: PORT, rate: 200 }).start().settled();
    for (let move = 0; move < MOVES; move++) await carriedBy(move % 2 === 0 ? 'relay' : 'auto');
    const report = await prober.stop();
    expect(report, JSON.stringify(report)).toMatchObject({ lost: 0, refused: 0, broken: 0 });
    expect(report.attempts).toBeGreaterThan(MOVES);
    // It has no route to its clients: who comes so gets no answer, however often he asks.
    expect((await target.exec(['nft', 'list', 'chain', 'inet', 'seen', 'in'])).stdout).toContain('counter packets 0');
  });

  it('a handshake that is half done is waited for before the relay lets go', async () => {
    const [gateway, client] = [world.lab.host('gw'), world.lab.host('cli')];
    await carriedBy('relay');
    await client.exec(['nft', `add table inet held; add chain inet held out { type filter hook output priority 0; }`]);
    await client.exec(['nft', `add rule inet held out tcp dport ${PORT} tcp flags & (syn | ack) == ack drop`]);
    const opening = client.open({ proto: 'tcp', to: IPV4.vip, port: PORT, timeoutMs: 5_000 });
    await waitFor(async () => (await gateway.exec(['ss', '-Htn', 'state', 'syn-recv'])).stdout.includes(`:${PORT}`), {
      what: 'a handshake is half done',
    });
    const moving = carriedBy('auto').then(() => 'moved' as const);
    expect(await Promise.race([moving, pause(700, 'waits' as const)])).toBe('waits');
    await client.exec(['nft', 'delete', 'table', 'inet', 'held']);
    const flow = await opening;
    expect(flow.answer.local).toBe(join(TARGET.address, TARGET.port));
    await moving;
    await waitFor(async () => !gateway.isListening(PORT), { what: 'the relay has let go' });
    expect(await flow.echo()).toBe('echoed');
    await flow.close();
  });
});
