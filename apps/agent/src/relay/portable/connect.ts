import { connect, type Socket, type SocketConstructorOpts, type TcpSocketConnectOpts } from 'node:net';
import { connectTrouble } from '../core/trouble.js';

/** What each side of a connection may hold back in this process, in bytes. */
export const HIGH_WATER_MARK = 65_536;

export interface ConnectWish {
  readonly address: string;
  readonly port: number;
  readonly family: 4 | 6;
  readonly source?: string;
  /** Milliseconds. */
  readonly timeout: number;
}

export type Connected = { readonly socket: Socket; readonly rttUs: number } | { readonly code: string; readonly trouble: string };

/** Tries to connect and tells `then` once what came of it, unless it is given up before; gives the means to give it up. */
export function tryConnect(wish: ConnectWish, then: (result: Connected) => void): { giveUp(): void } {
  const began = performance.now();
  const { address, port, family, source, timeout } = wish;
  const options: TcpSocketConnectOpts & SocketConstructorOpts & { readonly highWaterMark: number } = {
    host: address,
    port,
    family,
    ...(source === undefined ? {} : { localAddress: source }),
    allowHalfOpen: true,
    highWaterMark: HIGH_WATER_MARK,
    autoSelectFamily: false,
  };
  const socket = connect(options);
  const settle = () => {
    clearTimeout(timer);
    socket.off('error', failed);
    socket.off('connect', connected);
  };
  const giveUp = () => {
    settle();
    socket.on('error', () => {});
    socket.destroy();
  };
  const fail = (code: string) => {
    giveUp();
    then({ code, trouble: connectTrouble(wish, code, timeout) });
  };
  const failed = (error: NodeJS.ErrnoException) => fail(error.code ?? error.message);
  const connected = () => {
    settle();
    socket.pause();
    then({ socket, rttUs: Math.round((performance.now() - began) * 1000) });
  };
  const timer = setTimeout(fail, timeout, 'TIMEOUT');
  socket.once('error', failed);
  socket.once('connect', connected);
  return { giveUp };
}

/** As on every socket of a relay: small writes go out at once, and a peer that vanished is found after 60 s and five probes. */
export function tune(socket: Socket): void {
  socket.setNoDelay(true);
  (socket.setKeepAlive as (on: boolean, idle: number, interval: number, probes: number) => Socket).call(
    socket,
    true,
    60_000,
    15_000,
    5,
  );
}
