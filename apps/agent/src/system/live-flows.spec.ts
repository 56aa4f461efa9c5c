import { describe, expect, it } from 'vitest';
import { FakeExec } from './exec.fake.js';
import { ConntrackLiveFlows } from './live-flows.js';

const line = (protocol: string, state: string, port: number, source = '10.0.0.10') =>
  `ipv4     2 ${protocol}      ${protocol === 'tcp' ? 6 : 17} 300 ${state === '' ? '' : `${state} `}src=198.51.100.2 dst=203.0.113.10 sport=40000 dport=${port} src=${source} dst=10.0.0.1 sport=8443 dport=40000 [ASSURED] mark=0 use=2`;
const table = [
  line('tcp', 'ESTABLISHED', 443),
  line('tcp', 'TIME_WAIT', 443),
  line('tcp', 'ESTABLISHED', 443, '10.0.0.20'),
  line('tcp', 'ESTABLISHED', 444),
  line('udp', '', 53),
].join('\n');
const way = (port: number, protocol: 'tcp' | 'udp' = 'tcp') => ({
  protocol,
  address: '203.0.113.10',
  port,
  to: { address: '10.0.0.10', port: 8443 },
});

describe('live flows', () => {
  const live = (count: number | undefined, exec = new FakeExec({ answer: () => undefined })) =>
    new ConntrackLiveFlows({ exec, sources: { count: async () => count, table: async () => table } });

  it('are those of the ways asked for, still open', async () => {
    const found = await live(5).among([way(443), way(53, 'udp'), way(9)]);
    expect(found.map((f) => [f.protocol, f.original.destinationPort, f.reply.source])).toEqual([
      ['tcp', 443, '10.0.0.10'],
      ['udp', 53, '10.0.0.10'],
    ]);
  });

  it('cost nothing where nobody asks or nothing is tracked', async () => {
    expect(await live(5).among([])).toEqual([]);
    expect(await live(undefined).among([way(443)])).toEqual([]);
  });

  it('are listed by port where the table is long, and all at once for many ports', async () => {
    const exec = new FakeExec({ answer: () => ({ stdout: table }) });
    const long = live(100_000, exec);
    expect(await long.among([way(443), way(443), way(444)])).not.toEqual([]);
    await long.among([1, 2, 3, 4, 5].map((port) => way(port)));
    expect(exec.commands.map((c) => c.args.slice(3).join(' '))).toEqual([
      '-p tcp --orig-port-dst 443',
      '-p tcp --orig-port-dst 444',
      '',
    ]);
  });

  it('fail with what the program said', async () => {
    const exec = new FakeExec({ answer: () => ({ exitCode: 1, stderr: 'not permitted' }) });
    await expect(live(100_000, exec).among([way(443)])).rejects.toMatchObject({ reason: 'COMMAND_FAILED' });
  });
});
