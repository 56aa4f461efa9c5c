/** What tests of the relay build: forwards with everything at its default, in which a test says what matters to it. */
import { createServer, type Server } from 'node:net';
import { type Cidr, mergeCidrs } from '@gwctl/shared/domain/ip';
import { cidr, ip } from '../testing/placed.js';
import type { RelayedForward, RelayTarget, Transport } from './types.js';

export const cidrs = (...texts: readonly string[]): readonly Cidr[] => mergeCidrs(texts.map(cidr));

export const target = (address: string, port: number, weight = 1): RelayTarget => ({ address: ip(address), port, weight });

export interface RelayedWords extends Partial<Omit<RelayedForward, 'listen' | 'targets'>> {
  /** Undefined: every address, of both families. */
  readonly address?: string | undefined;
  readonly port: number;
  readonly last?: number;
  readonly interface?: string;
  readonly families?: readonly (4 | 6)[];
  readonly transports?: readonly Transport[];
  readonly targets: readonly RelayTarget[];
}

/** TCP from an address and port to `targets`; times are short enough for a test to see them run out. */
export function relayed(words: RelayedWords): RelayedForward {
  const { address, port, last = port, interface: name, families, transports = ['tcp'], targets, ...rest } = words;
  const of = address === undefined ? undefined : ip(address);
  return {
    uid: 'f1',
    generation: 1,
    down: [],
    affinity: 'none',
    onChange: 'drain',
    connectTimeout: 1_000,
    tcpIdleTimeout: 60_000,
    udpIdleTimeout: 60_000,
    ...rest,
    listen: {
      ...(of ? { address: of } : {}),
      families: families ?? (of ? [of.family] : [4, 6]),
      ...(name === undefined ? {} : { interface: name }),
      transports,
      ports: { first: port, last },
    },
    targets,
  };
}

/** Listens on a port of loopback that nobody has. @returns it */
export async function listening(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return portOf(server);
}

export const portOf = (server: Server): number => {
  const address = server.address();
  return typeof address === 'object' && address ? address.port : 0;
};

/** A port that nobody has now. */
export async function freePort(): Promise<number> {
  const server = createServer();
  const port = await listening(server);
  await new Promise((closed) => server.close(closed));
  return port;
}
