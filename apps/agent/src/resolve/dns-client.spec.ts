import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../testing/fake-clock.js';
import { CaresClient } from './dns-client.js';

/** Resource records as [type, TTL, data]; owner is the question's name. */
type Record_ = readonly [type: number, ttl: number, data: Buffer];
interface Reply {
  readonly rcode?: number;
  readonly records?: readonly Record_[];
  /** Over UDP says only that the answer is too long (RFC 1035 section 4.1.1, TC). */
  readonly truncated?: boolean;
}

const [A, CNAME, AAAA] = [1, 5, 28] as const;
const v4 = (text: string) => Buffer.from(text.split('.').map(Number));

/** A DNS server in a few lines: enough to see what really goes over the wire. */
class TinyServer {
  readonly questions: { readonly name: string; readonly type: number; readonly over: 'udp' | 'tcp' }[] = [];
  readonly #udp: Socket = createSocket('udp4');
  readonly #tcp: Server;

  constructor(reply: (name: string, type: number) => Reply | 'silence') {
    const answer = (message: Buffer, over: 'udp' | 'tcp') => {
      const { name, end, type } = questionOf(message);
      this.questions.push({ name, type, over });
      const said = reply(name, type);
      return said === 'silence' ? undefined : encode(message, end, over === 'udp' && said.truncated ? { truncated: true } : said);
    };
    this.#udp.on('message', (message, from) => {
      const bytes = answer(message, 'udp');
      if (bytes) this.#udp.send(bytes, from.port, from.address);
    });
    this.#tcp = createServer((socket) =>
      socket.on('data', (data) => {
        const bytes = answer(data.subarray(2), 'tcp');
        if (bytes) socket.write(Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes]));
      }),
    );
  }

  async listen(): Promise<string> {
    this.#tcp.listen(0, '127.0.0.1');
    await once(this.#tcp, 'listening');
    const address = this.#tcp.address();
    if (typeof address !== 'object' || !address) throw new Error('no address');
    this.#udp.bind(address.port, '127.0.0.1');
    await once(this.#udp, 'listening');
    return `127.0.0.1:${address.port}`;
  }

  close(): void {
    this.#udp.close();
    this.#tcp.close();
  }
}

function questionOf(message: Buffer) {
  const labels: string[] = [];
  let at = 12;
  for (let length = message[at] ?? 0; length > 0; length = message[at] ?? 0) {
    labels.push(message.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
  }
  return { name: labels.join('.').toLowerCase(), type: message.readUInt16BE(at + 1), end: at + 5 };
}

function encode(question: Buffer, end: number, { rcode = 0, records = [], truncated = false }: Reply): Buffer {
  const header = Buffer.alloc(12);
  question.copy(header, 0, 0, 2);
  header.writeUInt16BE(0x8180 | rcode | (truncated ? 0x200 : 0), 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(records.length, 6);
  const encoded = records.map(([type, ttl, data]) => {
    const fixed = Buffer.from([0xc0, 12, 0, type, 0, 1, 0, 0, 0, 0, 0, data.length]);
    fixed.writeUInt32BE(ttl, 6);
    return Buffer.concat([fixed, data]);
  });
  return Buffer.concat([header, question.subarray(12, end), ...encoded]);
}

const servers: TinyServer[] = [];
const clock = new FakeClock();
const client = new CaresClient({ clock, tryMs: 300 });
afterEach(() => {
  client.close();
  for (const server of servers.splice(0)) server.close();
});

async function serve(reply: (name: string, type: number) => Reply | 'silence') {
  const server = new TinyServer(reply);
  servers.push(server);
  return { server, at: await server.listen() };
}

describe('c-ares', () => {
  it('gives addresses with the smallest TTL, and asks for exactly the name', async () => {
    const { server, at } = await serve((_, type) =>
      type === A
        ? {
            records: [
              [A, 60, v4('10.0.0.1')],
              [A, 7, v4('10.0.0.2')],
            ],
          }
        : { records: [[AAAA, 30, Buffer.from('20010db8000000000000000000000001', 'hex')]] },
    );
    expect(await client.ask('db', 4, [at])).toEqual({ kind: 'addresses', addresses: ['10.0.0.1', '10.0.0.2'], ttl: 7 });
    expect(await client.ask('db', 6, [at])).toEqual({ kind: 'addresses', addresses: ['2001:db8::1'], ttl: 30 });
    expect(server.questions).toEqual([
      { name: 'db', type: A, over: 'udp' },
      { name: 'db', type: AAAA, over: 'udp' },
    ]);
  });

  it('counts the TTL of aliases', async () => {
    // `other.example` points to an address that carries the owner's own name for lack of a second one: c-ares takes the records as a set.
    const { at } = await serve(() => ({
      records: [
        [CNAME, 3, Buffer.from('\u0002db\u0007example\u0000', 'latin1')],
        [A, 300, v4('10.0.0.1')],
      ],
    }));
    expect(await client.ask('alias.example', 4, [at])).toMatchObject({ addresses: ['10.0.0.1'], ttl: 3 });
  });

  it('keeps nothing: a second question goes to the server again', async () => {
    let last = 0;
    const { at } = await serve(() => ({ records: [[A, 3600, v4(`10.0.0.${++last}`)]] }));
    expect(await client.ask('db.example', 4, [at])).toMatchObject({ addresses: ['10.0.0.1'] });
    expect(await client.ask('db.example', 4, [at])).toMatchObject({ addresses: ['10.0.0.2'] });
  });

  it('fetches what does not fit into a datagram over TCP', async () => {
    const many = Array.from({ length: 100 }, (_, i) => [A, 60, v4(`10.0.1.${i}`)] as const);
    const { server, at } = await serve(() => ({ records: many, truncated: true }));
    expect(await client.ask('db.example', 4, [at])).toMatchObject({ addresses: { length: 100 } });
    expect(server.questions.map((q) => q.over)).toEqual(['udp', 'tcp']);
  });

  it.each([
    { rcode: 3, word: 'NXDOMAIN' },
    { rcode: 0, word: 'NODATA' },
  ])('says $word', async ({ rcode, word }) => {
    const { at } = await serve(() => ({ rcode }));
    expect(await client.ask('db.example', 4, [at])).toEqual({ kind: 'none', word, server: at });
  });

  it.each([
    { rcode: 2, word: 'SERVFAIL' },
    { rcode: 4, word: 'NOTIMP' },
    { rcode: 5, word: 'REFUSED' },
  ])('says $word, of each server', async ({ rcode, word }) => {
    const one = await serve(() => ({ rcode }));
    const two = await serve(() => ({ rcode: 2 }));
    const why = `${word} from ${one.at}, SERVFAIL from ${two.at}`;
    expect(await client.ask('db.example', 4, [one.at, two.at])).toEqual({ kind: 'failed', why });
    expect(one.server.questions).toHaveLength(1);
  });

  it('goes on to the next server after an error, and after a server that is not there', async () => {
    const bad = await serve(() => ({ rcode: 2 }));
    const good = await serve(() => ({ records: [[A, 60, v4('10.0.0.1')]] }));
    const gone = new TinyServer(() => 'silence');
    const nobody = await gone.listen();
    gone.close();
    expect(await client.ask('db.example', 4, [bad.at, good.at])).toMatchObject({ addresses: ['10.0.0.1'] });
    expect(await client.ask('db.example', 4, [nobody, good.at])).toMatchObject({ addresses: ['10.0.0.1'] });
    expect(await client.ask('db.example', 4, [nobody])).toEqual({ kind: 'failed', why: `connection refused from ${nobody}` });
  });

  it('says so where what it is to ask is no server', async () => {
    const why = 'ERR_INVALID_IP_ADDRESS from dns.example';
    expect(await client.ask('db.example', 4, ['dns.example'])).toEqual({ kind: 'failed', why });
  });

  it('can be closed while it waits, and asked again', async () => {
    let silent = true;
    const { server, at } = await serve(() => (silent ? 'silence' : { records: [[A, 60, v4('10.0.0.1')]] }));
    const waiting = client.ask('db.example', 4, [at]);
    while (server.questions.length === 0) await new Promise((resolve) => setImmediate(resolve));
    client.close();
    expect(await waiting).toEqual({ kind: 'failed', why: `no time to answer from ${at}` });
    silent = false;
    expect(await client.ask('db.example', 4, [at])).toMatchObject({ addresses: ['10.0.0.1'] });
  });

  it('asks a silent server twice, and once it is silent about three names, asks it last for half a minute', async () => {
    let up = false;
    const one = await serve(() => (up ? { rcode: 3 } : 'silence'));
    const two = await serve((name) => (name === 'db.example' ? { records: [[A, 60, v4('10.0.0.1')]] } : { rcode: 2 }));
    const asked = () => one.server.questions.length;
    expect(await client.ask('db.example', 4, [one.at])).toEqual({ kind: 'failed', why: `no answer from ${one.at}` });
    expect(asked()).toBe(2);
    await client.ask('db.example', 4, [one.at, two.at]);
    expect(asked()).toBe(3);
    const why = `no answer from ${one.at}, SERVFAIL from ${two.at}`;
    expect(await client.ask('b.example', 4, [one.at, two.at])).toEqual({ kind: 'failed', why });
    await client.ask('c.example', 4, [one.at, two.at]);
    const before = asked();
    expect(await client.ask('db.example', 4, [one.at, two.at])).toMatchObject({ addresses: ['10.0.0.1'] });
    expect(asked()).toBe(before);
    up = true;
    await clock.advance(30_001);
    expect(await client.ask('db.example', 4, [one.at, two.at])).toMatchObject({ kind: 'none', server: one.at });
  });

  it('goes on asking a server first that is silent about one name only', async () => {
    const one = await serve((name) => (name === 'slow.example' ? 'silence' : { records: [[A, 60, v4('10.0.0.1')]] }));
    const two = await serve(() => ({ records: [[A, 60, v4('192.0.2.1')]] }));
    for (let i = 0; i < 3; i++) await client.ask('slow.example', 4, [one.at, two.at]);
    expect(await client.ask('db.example', 4, [one.at, two.at])).toMatchObject({ addresses: ['10.0.0.1'] });
  });
});
