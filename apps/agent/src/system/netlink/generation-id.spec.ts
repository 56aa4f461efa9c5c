import { describe, expect, it } from 'vitest';
import { readGeneration } from './generation-id.js';
import type { Libc } from './libc.js';

/** What the kernel answers, as recorded: NFT_MSG_NEWGEN with id 7. */
function answer(type: number): Buffer {
  const message = Buffer.alloc(28);
  message.writeUInt32LE(28, 0);
  message.writeUInt16LE(type, 4);
  message.writeUInt16LE(8, 20);
  message.writeUInt16LE(1, 22);
  message.writeUInt32BE(7, 24);
  return message;
}

function libc(said: Buffer | undefined) {
  const sent: Buffer[] = [];
  const closed: number[] = [];
  const fake: Libc = {
    socket: () => 5,
    bind: () => 0,
    setsockopt: () => 0,
    send: (_, data) => sent.push(Buffer.from(data)),
    recv: (_, into) => (said ? said.copy(into) : -1),
    poll: () => undefined,
    eventfd: () => 0,
    close: (fd) => closed.push(fd) && 0,
    errno: () => 11,
  };
  return { fake, sent, closed };
}

describe('readGeneration', () => {
  it('asks for one message, not for a dump', () => {
    const { fake, sent, closed } = libc(answer((10 << 8) | 15));
    expect(readGeneration(fake)).toBe(7);
    expect([sent[0]?.readUInt16LE(4), sent[0]?.readUInt16LE(6)]).toEqual([(10 << 8) | 16, 1]);
    expect(closed).toEqual([5]);
  });

  it.each([undefined, answer(2)])('fails where the kernel does not say, and leaves no socket', (said) => {
    const { fake, closed } = libc(said);
    expect(() => readGeneration(fake)).toThrow(/recv/);
    expect(closed).toEqual([5]);
  });
});
