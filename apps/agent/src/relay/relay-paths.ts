import { join } from 'node:path';

/** Where relays of one state directory are found. */
export interface RelayPaths {
  readonly directory: string;
  /** The control socket of the one that listens. */
  readonly socket: string;
  /** Of one that only goes on with what flows through it. */
  draining(pid: number): string;
  readonly log: string;
}

/** A draining relay's socket. */
const DRAINING = /^relay-(\d+)\.sock$/;

/** What a relay's control socket is bound as, before it gets its name (see process/control-server.ts). */
const BOUND = /^relay(-\d+)?\.sock\.\d+$/;

export const relayPaths = (dir: { readonly path: string; readonly run: string }): RelayPaths => ({
  directory: dir.run,
  socket: join(dir.run, 'relay.sock'),
  draining: (pid) => join(dir.run, `relay-${pid}.sock`),
  log: join(dir.path, 'relay.log'),
});

export const drainingPid = (file: string): number | undefined => {
  const digits = DRAINING.exec(file)?.[1];
  return digits === undefined ? undefined : Number(digits);
};

export const isBoundName = (file: string): boolean => BOUND.test(file);
