/** The client: makes the load that commands on standard input ask for, one after the other, by direct system calls in one thread. */
import { writeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { datagrams } from './load-datagrams.js';
import { awaitAnswers, exchange, halfOpen, hold, release } from './load-held.js';
import { latency, short, stream } from './load-tcp.js';
import type { LoadAnswer, LoadCommand } from './protocol.js';

function run(command: LoadCommand): LoadAnswer {
  switch (command.op) {
    case 'stream':
      return stream(command);
    case 'short':
      return short(command);
    case 'latency':
      return latency(command);
    case 'hold':
      return hold(command);
    case 'await':
      return awaitAnswers(command);
    case 'exchange':
      return exchange(command);
    case 'release':
      return release();
    case 'halfOpen':
      return halfOpen(command);
    case 'datagrams':
      return datagrams(command);
  }
}

writeSync(1, 'ready\n');
for await (const line of createInterface({ input: process.stdin })) {
  let answer: LoadAnswer;
  try {
    answer = run(JSON.parse(line) as LoadCommand);
  } catch (error) {
    answer = { error: (error as Error).message };
  }
  writeSync(1, `${JSON.stringify(answer)}\n`);
}
