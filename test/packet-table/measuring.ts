/** Sends the packets of rows, and says what became of them. */
import type { Host, Lab } from '../lab/index.js';
import { peerAddress, type Row, type Spread } from './rows.js';
import type { TableHost } from './topology.js';

/** A packet that gets no answer costs this long. */
const TIMEOUT_MS = 300;

/** Sends each row's packet, all at once. @returns the rows with what became of it */
export const sent = (lab: Lab<TableHost>, rows: readonly Row[]) =>
  Promise.all(rows.map(async (row) => ({ ...row, result: await resultOf(lab.host(row.from), row) })));

async function resultOf(host: Host, { source, proto, to, port }: Row): Promise<Row['result'] | string> {
  if (proto === 'icmp') return ping(host, to, source);
  const answer = await host.ask({ proto, to, port, timeoutMs: TIMEOUT_MS, ...(source === undefined ? {} : { from: source }) });
  // Nobody answers for the address: to the client that is the same as no answer.
  if (answer === 'unreachable') return 'timeout';
  return typeof answer === 'string' ? answer : { at: answer.local, seenAs: peerAddress(answer.peer) };
}

async function ping(host: Host, to: string, source?: string): Promise<Row['result'] | string> {
  const from = source === undefined ? [] : ['-I', source];
  const { stdout } = await host.exec(['ping', '-n', '-c', '1', '-W', '0.4', ...from, to], { allowFailure: true });
  const ttl = /ttl=(\d+)/.exec(stdout)?.[1];
  return ttl === undefined ? 'timeout' : ttl === '64' ? 'the gateway' : 'beyond';
}

/** Shares that are right are written as they were expected, so that a failure shows only what is wrong. */
export async function measured(host: Host, spread: Spread): Promise<Spread> {
  const { sources, each, proto, to, port } = spread;
  const ask = async (source: string) => {
    const answer = await host.ask({ proto, to, port, timeoutMs: 2000, from: source });
    return { source, target: typeof answer === 'string' ? answer : answer.local };
  };
  const flows = await Promise.all(sources.flatMap((source) => Array.from({ length: each }, () => ask(source))));
  const shares: Record<string, number> = {};
  for (const target of new Set([...Object.keys(spread.shares), ...flows.map((f) => f.target)])) {
    const share = flows.filter((f) => f.target === target).length / flows.length;
    const expected = spread.shares[target] ?? 0;
    const right =
      expected === 1 || expected === 0 ? share === expected : share > 0 && Math.abs(share - expected) <= spread.tolerance;
    shares[target] = right ? expected : Math.round(share * 100) / 100;
  }
  const targetsOf = (source: string) => new Set(flows.filter((f) => f.source === source).map((f) => f.target)).size;
  return { ...spread, shares, sticky: spread.sticky && sources.every((source) => targetsOf(source) === 1) };
}
