import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type IpAddress, parseIp } from '@gwctl/shared/domain/ip';
import { AppError } from '@gwctl/shared/errors/app-error';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { AddressKernel, LinkEntry, MarkedAddress } from './address-kernel.js';
import { ProgramAddresses, parseMarked } from './address-kernel.js';
import { FileAddressRecord, parseHeld } from './address-record.js';
import { FakeExec } from './exec.fake.js';
import { HostVirtualAddresses, markVirtual } from './virtual-addresses.js';

const address = (text: string): IpAddress => {
  const parsed = parseIp(text);
  if (!parsed.ok) throw new Error(parsed.error);
  return parsed.value;
};
const on = (text: string, name = 'eth0') => ({ address: address(text), interface: name });

const settled = () => new Promise((resolve) => setImmediate(resolve));

/** A kernel that knows labels, and so no mark on IPv6. */
class MemoryKernel implements AddressKernel {
  readonly links: LinkEntry[] = [{ index: 2, name: 'eth0', up: true, mac: Buffer.alloc(6) }];
  addresses: MarkedAddress[] = [{ link: 2, address: address('192.168.100.1'), prefix: 24, marked: false }];
  readonly announced: string[] = [];
  failure: Error | undefined;

  async list() {
    return { links: this.links, addresses: this.addresses };
  }

  async add(link: LinkEntry, added: IpAddress) {
    if (this.failure) throw this.failure;
    this.addresses.push({ link: link.index, address: added, prefix: added.family === 4 ? 32 : 128, marked: added.family === 4 });
  }

  async remove(_: LinkEntry, removed: IpAddress) {
    if (this.failure) throw this.failure;
    this.addresses = this.addresses.filter((a) => a.address.text !== removed.text);
  }

  announce(_: LinkEntry, addresses: readonly IpAddress[]) {
    this.announced.push(...addresses.map((a) => a.text));
  }
}

describe('virtual addresses', () => {
  let dir: string;
  let kernel: MemoryKernel;
  let later: (() => void)[];
  const fresh = (boot = 'one') =>
    new HostVirtualAddresses({
      kernel,
      record: new FileAddressRecord({ file: join(dir, 'addresses.json'), bootId: async () => boot }),
      later: (_, run) => later.push(run),
    });
  const texts = () => kernel.addresses.map((a) => a.address.text);

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'gwctl-addresses-'));
    kernel = new MemoryKernel();
    later = [];
  });
  afterEach(() => rm(dir, { recursive: true }));

  it('are recognised by a process without memory, and taken away by it', async () => {
    await fresh().add([on('192.168.100.3'), on('fd00::3')]);
    const other = fresh();
    expect((await other.read()).addresses.map((a) => [a.address.text, a.ours])).toEqual([
      ['192.168.100.1', false],
      ['192.168.100.3', true],
      ['fd00::3', true],
    ]);
    expect(await other.remove([on('192.168.100.3'), on('fd00::3')])).toEqual(new Map());
    expect(texts()).toEqual(['192.168.100.1']);
    await expect(readFile(join(dir, 'addresses.json'))).rejects.toThrow('ENOENT');
  });

  it('are never one that the host had before', async () => {
    kernel.addresses.push({ link: 2, address: address('192.168.100.3'), prefix: 32, marked: false });
    const virtual = fresh();
    await virtual.add([on('192.168.100.3')]);
    expect((await virtual.read()).addresses.every((a) => !a.ours)).toBe(true);
    await virtual.remove([on('192.168.100.3'), on('192.168.100.1')]);
    expect(texts()).toEqual(['192.168.100.1', '192.168.100.3']);
  });

  it('are the host’s own where they came back after a boot without us', async () => {
    await fresh().add([on('fd00::3')]);
    expect((await fresh('two').read()).addresses.some((a) => a.ours)).toBe(false);
  });

  it('are the host’s own where they were taken from us and came back without our mark', async () => {
    const virtual = fresh();
    await virtual.add([on('192.168.100.3'), on('fd00::3')]);
    kernel.addresses = kernel.addresses.slice(0, 1);
    await virtual.remove([]);
    for (const text of ['192.168.100.3', 'fd00::3'])
      kernel.addresses.push({ link: 2, address: address(text), prefix: text.includes(':') ? 128 : 32, marked: false });
    expect((await virtual.read()).addresses.some((a) => a.ours)).toBe(false);
  });

  it('are ours by their mark where the record is lost or spoilt', async () => {
    await writeFile(join(dir, 'addresses.json'), '{"boot":"one","addresses":[{"address":"x"}]}');
    kernel.addresses.push({ link: 2, address: address('192.168.100.3'), prefix: 32, marked: true });
    const seen = await fresh().read();
    expect(seen.addresses.map((a) => a.ours)).toEqual([false, true]);
    expect(seen.trouble).toContain('holds an entry that gwctl did not write');
  });

  it('that cannot be had are told with the reason, and not remembered', async () => {
    const virtual = fresh();
    kernel.failure = new AppError({ code: 'UNAVAILABLE', reason: 'SYSTEM_CALL_FAILED', message: 'not now' });
    const failed = await virtual.add([on('192.168.100.3'), on('192.168.100.4', 'eth9')]);
    expect([...failed]).toEqual([
      ['192.168.100.3', 'not now'],
      ['192.168.100.4', 'there is no interface eth9'],
    ]);
    await expect(readFile(join(dir, 'addresses.json'))).rejects.toThrow('ENOENT');
  });

  it('are announced three times, for as long as they are ours', async () => {
    const virtual = fresh();
    await virtual.add([on('192.168.100.3'), on('192.168.100.4')]);
    await virtual.announce([on('192.168.100.3'), on('192.168.100.4')]);
    expect(kernel.announced).toEqual(['192.168.100.3', '192.168.100.4']);
    later[0]?.();
    await settled();
    await virtual.remove([on('192.168.100.3')]);
    later[1]?.();
    await settled();
    expect(kernel.announced.slice(2)).toEqual(['192.168.100.3', '192.168.100.4', '192.168.100.4']);
  });

  it('are told apart where the host is read for planning, which asks only where an address stands by itself', async () => {
    const virtual = fresh();
    let asked = 0;
    const counted = {
      read: () => {
        asked++;
        return virtual.read();
      },
    };
    const links = async () => ({
      interfaces: ['eth0'],
      addresses: kernel.addresses.map((a) => ({ address: a.address, prefix: a.prefix, interface: 'eth0' })),
    });
    const seen = async () => (await markVirtual(links, counted)()).addresses.map((a) => [a.address.text, a.announced]);
    expect(await seen()).toEqual([['192.168.100.1', undefined]]);
    expect(asked).toBe(0);
    await virtual.add([on('192.168.100.3')]);
    expect(await seen()).toEqual([
      ['192.168.100.1', undefined],
      ['192.168.100.3', true],
    ]);
  });
});

describe('the record', () => {
  it('takes anything without failing, and only what it wrote for good', () => {
    fc.assert(fc.property(fc.oneof(fc.string(), fc.json()), (text) => void parseHeld(text)));
    expect(parseHeld('{"boot":"b","addresses":[{"address":"10.0.0.1","interface":"../x"}]}').ok).toBe(false);
    expect(parseHeld('{"boot":"b","addresses":[{"address":"10.0.0.1","interface":"eth0.1"}]}').ok).toBe(true);
  });
});

describe('by the program ip', () => {
  const link = { index: 2, name: 'eth0', up: true };

  it('addresses come without a network, and never as a source', async () => {
    const exec = new FakeExec({ answer: () => ({}) });
    const kernel = new ProgramAddresses(exec);
    await kernel.add(link, address('192.168.100.3'));
    await kernel.add(link, address('fd00::3'));
    await kernel.remove(link, address('fd00::3'));
    expect(exec.commands.map((c) => c.args.join(' '))).toEqual([
      'addr add 192.168.100.3/32 dev eth0 scope host label eth0:gwctl',
      'addr add fd00::3/128 dev eth0 nodad noprefixroute preferred_lft 0',
      'addr del fd00::3/128 dev eth0',
    ]);
  });

  it('what is there already or gone already is no failure, anything else is', async () => {
    const said = (stderr: string) => new ProgramAddresses(new FakeExec({ answer: () => ({ exitCode: 2, stderr }) }));
    await said('RTNETLINK answers: File exists').add(link, address('192.168.100.3'));
    await said('RTNETLINK answers: Cannot assign requested address').remove(link, address('192.168.100.3'));
    await expect(said('RTNETLINK answers: Operation not permitted').add(link, address('192.168.100.3'))).rejects.toMatchObject({
      reason: 'COMMAND_FAILED',
    });
  });

  it('marks are read', () => {
    const text = JSON.stringify([
      {
        ifindex: 2,
        ifname: 'eth0',
        flags: ['UP'],
        addr_info: [
          { local: '192.168.100.1', prefixlen: 24, label: 'eth0' },
          { local: '192.168.100.3', prefixlen: 32, label: 'eth0:gwctl' },
        ],
      },
    ]);
    expect(parseMarked(text).addresses.map((a) => a.marked)).toEqual([false, true]);
  });
});
