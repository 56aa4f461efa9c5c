import { parseIp } from '@gwctl/shared/domain/ip';
import { AppError } from '@gwctl/shared/errors/app-error';
import { createLogger } from '@gwctl/shared/logging/logger';
import { describe, expect, it } from 'vitest';
import { FakeHandshakeSockets } from '../system/handshake-sockets.fake.js';
import { FakeClock } from '../testing/fake-clock.js';
import { HandshakeProber } from './handshake-prober.js';
import { openProber } from './open-prober.js';
import { type ProbeOutcome, TcpProber } from './prober.js';

function makeProber() {
  const clock = new FakeClock();
  const sockets = new FakeHandshakeSockets();
  const prober = new HandshakeProber({ clock, sockets });
  const address = parseIp('10.0.0.1');
  if (!address.ok) throw new Error(address.error);
  const outcomes: ProbeOutcome[] = [];
  const probe = async () => {
    outcomes.push(await prober.probe(address.value, 80));
  };
  return { clock, sockets, probe, outcomes };
}

describe('a broken off handshake', () => {
  it('takes the time that the kernel measured', async () => {
    const { clock, sockets, probe, outcomes } = makeProber();
    void probe();
    sockets.settle(3, { rttUs: 420 });
    await clock.advance(5);
    expect(outcomes).toEqual([{ kind: 'up', rttUs: 420 }]);
    expect(sockets.held.size).toBe(0);
    expect(clock.next).toBeUndefined();
  });

  it('takes its own where the kernel measured none, as after a SYN that was lost', async () => {
    const { clock, sockets, probe, outcomes } = makeProber();
    void probe();
    await clock.advance(1000);
    sockets.settle(3, { rttUs: 0 });
    await clock.advance(50);
    expect(outcomes).toEqual([{ kind: 'up', rttUs: 1_050_000 }]);
  });

  it('ends with its error or in its time, and leaves no socket', async () => {
    const { clock, sockets, probe, outcomes } = makeProber();
    void probe();
    await clock.advance(10);
    void probe();
    sockets.settle(4, { error: 'ECONNREFUSED' });
    await clock.advance(5);
    expect(outcomes).toEqual([{ kind: 'down', why: 'refused by the target' }]);
    await clock.advance(2040);
    expect(outcomes[1]).toEqual({ kind: 'down', why: 'no answer within 2 s' });
    expect(sockets.held.size).toBe(0);
  });

  it('that cannot begin says whose fault it is', async () => {
    const { sockets, probe, outcomes } = makeProber();
    sockets.failing = 'EMFILE';
    await probe();
    sockets.failing = 'ENETUNREACH';
    await probe();
    expect(outcomes.map((o) => o.kind)).toEqual(['unable', 'down']);
  });
});

describe('the prober of a host', () => {
  const log = createLogger({ name: 'spec', level: 'silent' });
  const clock = new FakeClock();

  it('breaks handshakes off where native calls work, and connects where they do not', () => {
    expect(openProber({ clock, log })).toBeInstanceOf(HandshakeProber);
    const sockets = () => {
      throw new AppError({ code: 'FAILED_PRECONDITION', reason: 'LIBC_UNAVAILABLE', message: 'no libc.so.6' });
    };
    expect(openProber({ clock, log, sockets })).toBeInstanceOf(TcpProber);
  });
});
