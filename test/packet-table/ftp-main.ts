// Runs inside a host: as little of an FTP server and client (RFC 959, RFC 2428) as shows whether a data connection comes about.
//   ftp-main.ts serve ADDRESS PORT
//   ftp-main.ts get ADDRESS PORT pasv|port|epsv|eprt     prints what the data connection brought, or `failed: WHY`
// Started as a file of its own, so nothing from beside it is imported.
import { once } from 'node:events';
import { connect, createServer, isIPv6, type Socket } from 'node:net';
import { createInterface } from 'node:readline';

const TIMEOUT_MS = 1500;
const [mode, address = '', port = '', how = ''] = process.argv.slice(2);
/** An IPv4 address and a port as FTP writes them: `10,0,0,1,31,144`. */
const commas = (ip: string, p: number) => `${ip.replaceAll('.', ',')},${p >> 8},${p & 255}`;
const fromCommas = (text: string) => {
  const n = text.split(',').map(Number);
  return { host: n.slice(0, 4).join('.'), port: (n[4] ?? 0) * 256 + (n[5] ?? 0) };
};

function timedOut(what: string): Promise<never> {
  return new Promise((_, reject) => setTimeout(() => reject(new Error(what)), TIMEOUT_MS).unref());
}
async function connected(host: string, p: number, localAddress?: string): Promise<Socket> {
  const socket = connect({ host, port: p, ...(localAddress === undefined ? {} : { localAddress }) });
  await Promise.race([once(socket, 'connect'), timedOut(`no data connection to ${host} port ${p}`)]);
  return socket;
}
/** Listens for one data connection on a port of its own. */
async function oneConnection(host: string): Promise<{ port: number; socket: Promise<Socket> }> {
  const server = createServer();
  const socket = once(server, 'connection').then(([accepted]) => {
    server.close();
    return accepted as Socket;
  });
  server.listen(0, host);
  await once(server, 'listening');
  return { port: (server.address() as { port: number }).port, socket };
}

async function converse(control: Socket): Promise<void> {
  const say = (text: string) => control.write(`${text}\r\n`);
  const local = control.localAddress ?? '';
  let data: (() => Promise<Socket>) | undefined;
  say('220 ready');
  for await (const line of createInterface({ input: control })) {
    const [, command = '', rest = ''] = /^(\w+)\s*(.*)$/.exec(line) ?? [];
    if (command === 'PASV' || command === 'EPSV') {
      const passive = await oneConnection(local);
      data = () => passive.socket;
      say(
        command === 'PASV'
          ? `227 Entering Passive Mode (${commas(local, passive.port)}).`
          : `229 Extended Passive Mode (|||${passive.port}|)`,
      );
    } else if (command === 'PORT' || command === 'EPRT') {
      const [, , host = '', p = ''] = command === 'EPRT' ? rest.split('|') : [];
      const to = command === 'PORT' ? fromCommas(rest) : { host, port: Number(p) };
      data = () => connected(to.host, to.port, local);
      say('200 will connect');
    } else if (command === 'RETR') {
      say('150 here it comes');
      const socket = await data?.();
      socket?.end(`file over ${socket.localAddress}`);
      say('226 done');
    } else if (command === 'QUIT') control.end('221 bye\r\n');
    else say('230 fine');
  }
}

async function get(): Promise<string> {
  const control = connect({ host: address, port: Number(port) });
  const replies = createInterface({ input: control })[Symbol.asyncIterator]();
  const reply = async (code: string): Promise<string> => {
    const { value } = await Promise.race([replies.next(), timedOut(`no ${code} on the control connection`)]);
    if (!String(value).startsWith(code)) throw new Error(`${code} expected, got ${value}`);
    return String(value);
  };
  const ask = (command: string, code: string) => {
    control.write(`${command}\r\n`);
    return reply(code);
  };
  await reply('220');
  await ask('USER anonymous', '230');
  const local = control.localAddress ?? '';
  let data: Promise<Socket>;
  if (how === 'pasv') {
    const { host, port: p } = fromCommas(/\(([\d,]+)\)/.exec(await ask('PASV', '227'))?.[1] ?? '');
    data = connected(host, p);
  } else if (how === 'epsv') {
    data = connected(address, Number(/\|(\d+)\|/.exec(await ask('EPSV', '229'))?.[1]));
  } else {
    const active = await oneConnection(local);
    const eprt = `EPRT |${isIPv6(local) ? 2 : 1}|${local}|${active.port}|`;
    await ask(how === 'port' ? `PORT ${commas(local, active.port)}` : eprt, '200');
    data = active.socket;
  }
  control.write('RETR file\r\n');
  const socket = await Promise.race([data, timedOut('no data connection')]);
  let text = '';
  for await (const chunk of socket) text += chunk;
  return text;
}

if (mode === 'serve') {
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    // A client that gives up ends its conversation, not the server.
    void converse(socket).catch(() => socket.destroy());
  });
  server.listen(Number(port), address, () => process.stdout.write('ready\n'));
} else {
  process.stdout.write(`${await get().catch((error: unknown) => `failed: ${(error as Error).message}`)}\n`);
  process.exit(0);
}
