#!/usr/bin/env node
import { randomUUID } from 'node:crypto';
import { text } from 'node:stream/consumers';
import { runCli } from './cli.js';
import { readEnvironment } from './config/environment.js';
import { EXIT_CODES } from './errors/exit-codes.js';
import type { System } from './system.js';

// A reader that has seen enough (`gwctl forward list | head -1`) is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(EXIT_CODES.ok);
  throw error;
});

const system: System = {
  environment: readEnvironment(),
  clock: {
    now: Date.now,
    after(ms, then) {
      const timer = setTimeout(then, ms);
      return () => clearTimeout(timer);
    },
  },
  stdout: (chunk) => {
    process.stdout.write(chunk);
  },
  stderr: (chunk) => {
    process.stderr.write(chunk);
  },
  readStdin: () => text(process.stdin),
  newId: randomUUID,
  onInterrupt(then) {
    // The second Ctrl-C does not wait for anything.
    const listener = () => {
      process.once('SIGINT', () => process.exit(EXIT_CODES.interrupted));
      then();
    };
    process.once('SIGINT', listener);
    return () => process.removeListener('SIGINT', listener);
  },
};

const code = await runCli(process.argv.slice(2), system);
// Waits for what is still being written, but not for timers and sockets of connections that were closed.
process.stdout.write('', () => process.exit(code));
