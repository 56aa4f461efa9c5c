/**
 * 32 bits that are spread evenly, also over inputs that differ in one digit or host, and the same in every thread, process and version:
 * FNV-1a with the finalizer of MurmurHash3. Clients keep their targets only as long as nothing changes here. Not for secrets: who
 * chooses the input can choose the hash.
 */

const BASIS = 0x811c9dc5;
const PRIME = 0x01000193;

/** Of a text of ASCII; it has the hash of its bytes. */
export function hashText(text: string): number {
  let h = BASIS;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), PRIME);
  return finish(h);
}

/** Of `length` bytes from `at` on. */
export function hashBytes(bytes: Uint8Array, at: number, length: number): number {
  let h = BASIS;
  for (let i = 0; i < length; i++) h = Math.imul(h ^ (bytes[at + i] ?? 0), PRIME);
  return finish(h);
}

function finish(hash: number): number {
  let h = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
