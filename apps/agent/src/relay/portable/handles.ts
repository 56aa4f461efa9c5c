/** What Node.js knows of its sockets and does not offer: descriptors, to hand listening sockets on, and an end of receiving. */
import type { Socket as DatagramSocket } from 'node:dgram';
import type { Server } from 'node:net';

interface Handle {
  readonly fd?: unknown;
  readonly recvStop?: unknown;
}

/** Undefined once it is closed. */
export function serverDescriptor(server: Server): number | undefined {
  return descriptorOf((server as Server & { _handle?: Handle | null })._handle);
}

/** Undefined until it is bound and once it is closed. */
export function datagramDescriptor(socket: DatagramSocket): number | undefined {
  return descriptorOf(handleOf(socket));
}

/** The socket stays, and sends; what arrives is left for others that hold it. Gives whether that could be done. */
export function stopReceiving(socket: DatagramSocket): boolean {
  const handle = handleOf(socket);
  if (typeof handle?.recvStop !== 'function') return false;
  handle.recvStop();
  return true;
}

function handleOf(socket: DatagramSocket): Handle | undefined {
  const symbol = Object.getOwnPropertySymbols(socket).find((s) => s.description === 'state symbol');
  if (!symbol) return undefined;
  return (socket as unknown as Record<symbol, { readonly handle?: Handle | null }>)[symbol]?.handle ?? undefined;
}

function descriptorOf(handle: Handle | null | undefined): number | undefined {
  const fd = handle?.fd;
  return typeof fd === 'number' && fd >= 0 ? fd : undefined;
}
