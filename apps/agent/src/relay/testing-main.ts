/** A relay as a process of its own for specs: the real one with the portable engine, and a build that the spec names. */
import { Socket } from 'node:net';
import { createLogger } from '@gwctl/shared/logging/logger';
import { systemClock } from '../clock.js';
import { CHANNEL, startDetached } from '../system/detached-process.js';
import { openPortableEngine } from './portable/engine.js';
import { RelayProcess } from './process/relay-process.js';
import { relayPaths } from './relay-paths.js';

const [dir = '', build = ''] = process.argv.slice(2);
const relay = await RelayProcess.start({
  paths: relayPaths({ path: dir, run: dir }),
  gid: undefined,
  engine: 'portable',
  engines: { native: openPortableEngine, portable: openPortableEngine },
  credentials: undefined,
  start: startDetached,
  build: Promise.resolve(build),
  channel: new Socket({ fd: CHANNEL, readable: true, writable: true }),
  clock: systemClock,
  log: createLogger({ name: 'relay', level: 'info' }),
});
process.on('SIGTERM', () => void relay.terminate());
await relay.ended;
process.exit(0);
