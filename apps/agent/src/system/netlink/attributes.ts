/** Writes netlink attributes and requests (linux/netlink.h). */

export const NLM_F_REQUEST = 0x1;
export const NLM_F_ACK = 0x4;
export const NLM_F_EXCL = 0x200;
export const NLM_F_DUMP = 0x300;
export const NLM_F_CREATE = 0x400;

const NLA_F_NESTED = 0x8000;
const HEADER = 16;

export function attribute(type: number, data: Uint8Array): Buffer {
  const padded = Buffer.alloc(4 + ((data.length + 3) & ~3));
  padded.writeUInt16LE(4 + data.length, 0);
  padded.writeUInt16LE(type, 2);
  padded.set(data, 4);
  return padded;
}

export const nested = (type: number, ...inner: readonly Buffer[]): Buffer => attribute(type | NLA_F_NESTED, Buffer.concat(inner));

/** Numbers of netfilter's attributes are in network byte order. */
export function bigEndian32(type: number, value: number): Buffer {
  const data = Buffer.alloc(4);
  data.writeUInt32BE(value >>> 0);
  return attribute(type, data);
}

export function bigEndian16(type: number, value: number): Buffer {
  const data = Buffer.alloc(2);
  data.writeUInt16BE(value);
  return attribute(type, data);
}

export function hostEndian32(type: number, value: number): Buffer {
  const data = Buffer.alloc(4);
  data.writeUInt32LE(value >>> 0);
  return attribute(type, data);
}

export const byte = (type: number, value: number): Buffer => attribute(type, Buffer.from([value]));

/** A message with its header; `flags` beside NLM_F_REQUEST. */
export function request(type: number, flags: number, ...body: readonly Buffer[]): Buffer {
  const message = Buffer.concat([Buffer.alloc(HEADER), ...body]);
  message.writeUInt32LE(message.length, 0);
  message.writeUInt16LE(type, 4);
  message.writeUInt16LE(NLM_F_REQUEST | flags, 6);
  message.writeUInt32LE(1, 8);
  return message;
}
