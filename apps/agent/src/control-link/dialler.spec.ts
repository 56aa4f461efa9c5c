import { describe, expect, it } from 'vitest';
import type { Identity } from '../identity/identity.js';
import { Dialler } from './dialler.js';
import type { SessionStream } from './stream.js';

const identity = (certificateChain: string, servers = ['a:1', 'b:1']): Identity => ({
  gateway: 'gw1',
  gatewayUid: 'u',
  servers,
  privateKey: '',
  certificateChain,
  caBundle: '',
  validity: { notBefore: 0, notAfter: 1 },
});

function made(previous?: Identity) {
  const dials: string[] = [];
  let dropped = 0;
  const stream = {} as SessionStream;
  const dialler = new Dialler({
    identity: identity('new'),
    previous,
    store: { dropPrevious: async () => void dropped++ },
    connect: (server, who) => {
      dials.push(`${server} ${who.certificateChain}`);
      return stream;
    },
  });
  return { dialler, dials, dropped: () => dropped };
}

describe('dialler', () => {
  it('tries the servers in turn, and the first again after a welcome', async () => {
    const { dialler, dials } = made();
    for (let i = 0; i < 3; i++) dialler.open();
    await dialler.welcomed();
    dialler.open();
    expect(dials).toEqual(['a:1 new', 'b:1 new', 'a:1 new', 'a:1 new']);
  });

  it('falls back to the certificate before, and drops it once the new one was welcomed', async () => {
    const { dialler, dials, dropped } = made(identity('old'));
    for (let i = 0; i < 4; i++) dialler.open();
    await dialler.welcomed();
    expect(dropped()).toBe(0);
    dialler.open();
    await dialler.welcomed();
    expect(dropped()).toBe(1);
    for (let i = 0; i < 4; i++) dialler.open();
    expect(dials).toEqual(['a:1 new', 'b:1 new', 'a:1 old', 'b:1 old', 'a:1 new', 'a:1 new', 'b:1 new', 'a:1 new', 'b:1 new']);
  });

  it('uses a renewed certificate from the next connection on', () => {
    const { dialler, dials } = made();
    dialler.open();
    dialler.use(identity('newer', ['a:1']));
    dialler.open();
    dialler.open();
    expect(dials).toEqual(['a:1 new', 'a:1 newer', 'a:1 new']);
  });
});
