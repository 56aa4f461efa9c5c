import { parseIp } from '@gwctl/shared/domain/ip';
import { describe, expect, it } from 'vitest';
import { announcementFrame } from './neighbour-frames.js';

const MAC = Buffer.from('02aabbccddee', 'hex');
const address = (text: string) => {
  const parsed = parseIp(text);
  if (!parsed.ok) throw new Error(parsed.error);
  return parsed.value;
};

describe('announcements', () => {
  it('of IPv4 ask everybody for the address by itself', () => {
    expect(announcementFrame(MAC, address('192.168.100.3')).toString('hex')).toBe(
      `ffffffffffff02aabbccddee0806${'0001080006040001'}02aabbccddeec0a86403${'000000000000'}c0a86403`,
    );
  });

  it('of IPv6 are advertisements to all nodes that override, with a right checksum', () => {
    const frame = announcementFrame(MAC, address('fd00::3'));
    expect(frame.toString('hex', 0, 14)).toBe('33330000000102aabbccddee86dd');
    expect(frame.subarray(14, 22).toString('hex')).toBe('6000000000203aff');
    const message = frame.subarray(54);
    expect(message.toString('hex', 0, 2)).toBe('8800');
    expect(message.toString('hex', 4)).toBe(`a0000000${'fd000000000000000000000000000003'}020102aabbccddee`);
    // Over the whole with its own checksum, the sum is all ones (RFC 1071).
    const pseudo = Buffer.concat([frame.subarray(22, 54), Buffer.from('000000200000003a', 'hex'), message]);
    let sum = 0;
    for (let at = 0; at < pseudo.length; at += 2) sum += pseudo.readUInt16BE(at);
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
    expect(sum).toBe(0xffff);
  });
});
