import type { Socket } from 'node:net';

/**
 * Ends a connection with a reset, so that the other side cannot take what it got so far for all. `Socket.resetAndDestroy` is no choice:
 * it first waits until everything written was taken, for ever where the other side does not read (Node.js 18.3 to 24). What it sets
 * afterwards, `resetAndClosing`, is set here at once. libuv refuses a reset while it carries out a shutdown, which is asked for here
 * only after the last byte was written, so that it is over within one turn.
 */
export function resetSocket(socket: Socket): void {
  if (socket.destroyed) return;
  // Nobody listens any more for what may still be reported of it.
  socket.on('error', () => {});
  if (socket.connecting) {
    socket.destroy();
    return;
  }
  if (socket.writableEnded && !socket.writableFinished) {
    socket.once('finish', () => resetNow(socket));
    return;
  }
  resetNow(socket);
}

function resetNow(socket: Socket): void {
  if (socket.destroyed) return;
  (socket as Socket & { resetAndClosing: boolean }).resetAndClosing = true;
  socket.destroy();
}
