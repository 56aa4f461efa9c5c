import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ConntrackFlows, type FlowMatch, type FlowSources, isAlive, matches, parseFlows } from './conntrack.js';
import { FakeExec } from './exec.fake.js';

/** As /proc/net/nf_conntrack shows them, but for the first, which is of `conntrack -L`. */
const TABLE = `tcp      6 431999 ESTABLISHED src=198.51.100.2 dst=203.0.113.10 sport=40000 dport=443 src=10.0.0.10 dst=10.0.0.1 sport=8443 dport=1763 [ASSURED] mark=16777216 use=1
ipv4     2 tcp      6 119 TIME_WAIT src=198.51.100.3 dst=203.0.113.10 sport=40001 dport=443 src=10.0.0.10 dst=10.0.0.1 sport=8443 dport=1764 [ASSURED] mark=16777216 zone=0 use=2
ipv4     2 udp      17 29 src=198.51.100.2 dst=203.0.113.10 sport=5000 dport=53 [UNREPLIED] src=203.0.113.10 dst=198.51.100.2 sport=53 dport=5000 mark=0 zone=0 use=2
ipv4     2 udp      17 29 src=198.51.100.66 dst=203.0.113.10 sport=5000 dport=53 src=10.0.0.20 dst=10.0.0.1 sport=5353 dport=5000 mark=16777216 zone=0 use=2
ipv4     2 udp      17 29 src=198.51.100.9 dst=9.9.9.9 sport=5000 dport=53 src=9.9.9.9 dst=203.0.113.10 sport=53 dport=5000 mark=0 zone=0 use=2
ipv4     2 icmp     1 29 src=198.51.100.9 dst=9.9.9.9 type=8 code=0 id=1 src=9.9.9.9 dst=198.51.100.9 type=0 code=0 id=1 mark=0 use=2
ipv6     10 tcp      6 119 ESTABLISHED src=2001:db8::1 dst=2001:db8::2 sport=1 dport=443 src=2001:db8::2 dst=2001:db8::1 sport=443 dport=1 mark=0 use=2
`;

describe('parseFlows', () => {
  it('reads both forms, every protocol, both families', () => {
    const flows = parseFlows(TABLE);
    expect(flows.map((f) => [f.protocol, f.state, f.mark])).toEqual([
      ['tcp', 'ESTABLISHED', 16777216],
      ['tcp', 'TIME_WAIT', 16777216],
      ['udp', undefined, 0],
      ['udp', undefined, 16777216],
      ['udp', undefined, 0],
      [1, undefined, 0],
      ['tcp', 'ESTABLISHED', 0],
    ]);
    expect(flows.map((f) => f.family ?? 4)).toEqual([4, 4, 4, 4, 4, 4, 6]);
    expect(flows[5]?.original).toEqual({ source: '198.51.100.9', destination: '9.9.9.9', sourcePort: 0, destinationPort: 0 });
    expect(flows[0]).toMatchObject({
      original: { source: '198.51.100.2', destination: '203.0.113.10', sourcePort: 40000, destinationPort: 443 },
      reply: { source: '10.0.0.10', destination: '10.0.0.1', sourcePort: 8443, destinationPort: 1763 },
    });
    expect(flows.map(isAlive)).toEqual([true, false, true, true, true, true, true]);
  });

  it('takes anything without failing', () => {
    fc.assert(
      fc.property(fc.string(), fc.nat(), (text, at) => {
        const cut = TABLE.slice(0, at % TABLE.length) + text;
        for (const flow of parseFlows(cut)) expect(flow.original.source).toMatch(/^[\da-f.:]+$/);
      }),
    );
  });
});

describe('matches', () => {
  const flows = parseFlows(TABLE);
  const which = (match: FlowMatch) => flows.flatMap((f, i) => (matches(f, match) ? [i] : []));
  const dns = { protocol: 'udp', port: 53 } as const;
  const target = { address: '10.0.0.20', port: 5353 };
  it.each([
    [{ ...dns, address: '203.0.113.10', to: target }, [3]],
    [{ ...dns, address: '203.0.113.10', notTo: target }, [2]],
    [{ ...dns, notTo: target }, [2, 4]],
    [{ ...dns, address: '203.0.113.10', to: target, sourcesOutside: ['198.51.100.64/26'] }, []],
    [{ ...dns, address: '203.0.113.10', to: target, sourcesOutside: ['198.51.100.0/26'] }, [3]],
    [{ protocol: 'tcp', port: 443, to: { address: '10.0.0.10', port: 8443 } }, [0, 1]],
    [{ protocol: 'tcp', port: 443, to: { address: '10.0.0.10', port: 80 } }, []],
  ] as [FlowMatch, number[]][])('%j', (match, expected) => {
    expect(which(match)).toEqual(expected);
  });
});

describe('ConntrackFlows', () => {
  const stale: FlowMatch = { protocol: 'udp', address: '203.0.113.10', port: 53, notTo: { address: '10.0.0.20', port: 5353 } };
  const deleted = { exitCode: 0, stderr: 'conntrack v1.4.7 (conntrack-tools): 1 flow entries have been deleted.\n' };

  function flows(sources: Partial<FlowSources>, answer: ConstructorParameters<typeof FakeExec>[0]['answer'] = () => deleted) {
    const exec = new FakeExec({ answer });
    const all: FlowSources = {
      count: async () => 5,
      table: async () => TABLE,
      ownAddresses: async () => new Set(['203.0.113.10']),
      ...sources,
    };
    return { exec, flows: new ConntrackFlows({ exec, sources: all }) };
  }

  it('names protocol, listener and target of what it removes', async () => {
    const { exec, flows: table } = flows({});
    expect(await table.remove([stale])).toBe(1);
    expect(exec.commands.map((c) => c.args.join(' '))).toEqual([
      '-D -f ipv4 -p udp --orig-dst 203.0.113.10 --orig-port-dst 53 --reply-src 203.0.113.10 --reply-port-src 53',
    ]);
  });

  it('starts no process where nothing matches or nothing is tracked', async () => {
    const { exec, flows: table } = flows({});
    await table.remove([{ ...stale, port: 54 }]);
    await flows({ count: async () => 0 }).flows.remove([stale]);
    await flows({ count: async () => undefined }).flows.remove([stale]);
    expect(exec.commands).toEqual([]);
  });

  it('takes only flows to its own addresses for those of a wildcard listener', async () => {
    const { exec, flows: table } = flows({});
    const { address: _, ...wildcard } = stale;
    await table.remove([wildcard]);
    expect(exec.commands.map((c) => c.args[6])).toEqual(['203.0.113.10']);
  });

  it('leaves filtering to the program where the table is long or cannot be read', async () => {
    for (const sources of [{ count: async () => 100_000 }, { table: async () => undefined }]) {
      const { exec, flows: table } = flows(sources, (c) => (c.args[0] === '-L' ? { stdout: TABLE } : deleted));
      await table.remove([stale]);
      expect(exec.commands.map((c) => c.args.slice(0, 7).join(' '))).toEqual([
        '-L -f ipv4 -p udp --orig-port-dst 53',
        '-D -f ipv4 -p udp --orig-dst 203.0.113.10',
      ]);
    }
  });

  it('does not take "nothing matched" (exit code 1) for a failure, nor a failure for that', async () => {
    const none = flows({}, () => ({
      exitCode: 1,
      stderr: 'conntrack v1.4.7 (conntrack-tools): 0 flow entries have been deleted.\n',
    }));
    expect(await none.flows.remove([stale])).toBe(0);
    const failed = flows({}, () => ({ exitCode: 1, stderr: 'conntrack v1.4.7: Operation failed: Operation not permitted\n' }));
    await expect(failed.flows.remove([stale])).rejects.toMatchObject({ reason: 'COMMAND_FAILED' });
    await expect(flows({}, () => undefined).flows.remove([stale])).rejects.toMatchObject({ reason: 'PROGRAM_MISSING' });
  });
});
