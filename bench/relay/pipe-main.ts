/**
 * The relay that everybody writes first: node:net with pipe(), at its best. One process for each processor, each with a listening
 * socket of its own.
 *   pipe-main.js LISTEN-ADDRESS TARGET-ADDRESS PORT...
 */
import { fork } from 'node:child_process';
import { connect, createServer } from 'node:net';
import { availableParallelism } from 'node:os';

const [address = '', target = '', ...ports] = process.argv.slice(2);
if (process.send === undefined) {
  const workers = Array.from({ length: availableParallelism() }, () => fork(process.argv[1] ?? '', process.argv.slice(2)));
  await Promise.all(workers.map((worker) => new Promise((resolve) => worker.once('message', resolve))));
  process.stdout.write('ready\n');
} else {
  // Reads are of 64 KiB whatever is asked for; more in the queues only means that fewer pauses are made.
  const options = { allowHalfOpen: true, noDelay: true, highWaterMark: 1 << 20 };
  const listening = ports.map(Number).map(
    (port) =>
      new Promise<void>((resolve) => {
        const server = createServer(options, (client) => {
          const beyond = connect({ host: target, port, ...options });
          client.pipe(beyond).pipe(client);
          for (const [socket, other] of [
            [client, beyond],
            [beyond, client],
          ] as const)
            socket.on('error', () => other.resetAndDestroy());
        });
        server.listen({ host: address, port, reusePort: true, backlog: 65_535 }, resolve);
      }),
  );
  await Promise.all(listening);
  process.send('ready');
}
