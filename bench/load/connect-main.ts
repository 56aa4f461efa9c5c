// Opens TCP connections one after the other by system calls that wait, or has the kernel answer them: almost all of its time is the kernel's.
//   connect-main.ts answer PORT      until its standard input ends
//   connect-main.ts connect          reads lines `ADDRESS PORT MILLISECONDS`, prints how many connections came about in that time
// Started as a file of its own, so nothing from beside it is imported; the native calls are those that the agent uses.
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

interface Koffi {
  load(name: string): { func(prototype: string): (...args: unknown[]) => number };
  errno(): number;
}

const koffi = createRequire(new URL('../../apps/agent/package.json', import.meta.url))('koffi') as Koffi;
const libc = koffi.load('libc.so.6');
const socket = libc.func('int socket(int, int, int)');
const setsockopt = libc.func('int setsockopt(int, int, int, void *, uint32_t)');
const close = libc.func('int close(int)');
const bind = libc.func('int bind(int, void *, uint32_t)');
const listen = libc.func('int listen(int, int)');
const connect = libc.func('int connect(int, void *, uint32_t)');

const [AF_INET, SOCK_STREAM, SOL_SOCKET, SO_REUSEADDR, SO_LINGER] = [2, 1, 1, 2, 13];
const [IPPROTO_TCP, TCP_DEFER_ACCEPT] = [6, 9];
const [mode, ...words] = process.argv.slice(2);

function must(result: number, call: string): number {
  if (result < 0) throw new Error(`${call} failed with errno ${koffi.errno()}`);
  return result;
}

/** A struct sockaddr_in. */
function address(ip: string, port: number): Buffer {
  const at = Buffer.alloc(16);
  at.writeUInt16LE(AF_INET, 0);
  at.writeUInt16BE(port, 2);
  Buffer.from(ip.split('.').map(Number)).copy(at, 4);
  return at;
}

/** Closes by a reset, which leaves no TIME_WAIT: ports would run out. */
const ABORT = Buffer.from([1, 0, 0, 0, 0, 0, 0, 0]);

function connections(to: Buffer, milliseconds: number): number {
  const end = performance.now() + milliseconds;
  let count = 0;
  for (; performance.now() < end; count++) {
    const fd = must(socket(AF_INET, SOCK_STREAM, 0), 'socket');
    setsockopt(fd, SOL_SOCKET, SO_LINGER, ABORT, ABORT.length);
    must(connect(fd, to, to.length), 'connect');
    close(fd);
  }
  return count;
}

const int = (value: number) => Buffer.from(Int32Array.of(value).buffer);

if (mode === 'answer') {
  const fd = must(socket(AF_INET, SOCK_STREAM, 0), 'socket');
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, int(1), 4);
  // The kernel answers and waits for data, which never comes: no program is woken for a connection, on whatever processor.
  must(setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, int(60), 4), 'setsockopt');
  must(bind(fd, address('0.0.0.0', Number(words[0])), 16), 'bind');
  must(listen(fd, 65_535), 'listen');
  process.stdin.resume();
  process.stdout.write('ready\n');
} else {
  createInterface({ input: process.stdin }).on('line', (line) => {
    const [ip = '', port, milliseconds] = line.split(' ');
    process.stdout.write(`${connections(address(ip, Number(port)), Number(milliseconds))}\n`);
  });
  process.stdout.write('ready\n');
}
