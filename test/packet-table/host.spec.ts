import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Lab, type LabSpec, waitFor } from '../lab/index.js';
import { HostAgent } from './host-agent.js';

const topology = {
  name: 'virtual',
  hosts: {
    cli: { links: { eth0: { segment: 'wan', addresses: ['192.168.100.20/24', 'fd00:100::20/64'] } } },
    gw: {
      links: {
        wan: { segment: 'wan', addresses: ['192.168.100.1/24', 'fd00:100::1/64'] },
        lan: { segment: 'lan', addresses: ['10.0.0.1/24'] },
      },
      sysctls: { 'net.ipv4.ip_forward': 1 },
    },
    srv: { links: { eth0: { segment: 'lan', addresses: ['10.0.0.10/24'] } } },
  },
} as const satisfies LabSpec;

const VIP = '192.168.100.3';
const VIP6 = 'fd00:100::3';
const both = [
  [VIP, 'wan'],
  [VIP6, 'wan'],
] as const;
/** Somebody who had the addresses before. */
const OLD_MAC = '02:00:00:00:00:99';

/** The host beside its rules: addresses that it answers for, parameters, other tools' rules. */
describe('the host beside its rules', () => {
  let lab: Lab<keyof typeof topology.hosts>;
  let agent: HostAgent;
  let stateDir: string;

  beforeAll(async () => {
    lab = await Lab.create(topology);
    stateDir = lab.directory('state');
    agent = await HostAgent.on(lab.host('gw'), stateDir);
    await agent.watch();
  });
  afterEach(() => agent.cleanUp());
  afterAll(() => lab.destroy());

  const gw = () => lab.host('gw');
  const cli = () => lab.host('cli');
  const addresses = async () => (await gw().ip('-o addr show')).match(/\b(?:192\.168\.100|fd00:100:)[\d.:a-f]*\/\d+/g) ?? [];
  const macOf = async (name: string) => (await gw().ip(`-o link show ${name}`)).match(/link\/ether ([\da-f:]+)/)?.[1];
  const neighbour = async (address: string) => (await cli().ip(`neigh show ${address}`)).match(/lladdr ([\da-f:]+)/)?.[1];

  it('answers for virtual addresses as long as they are wanted', async () => {
    const asked = () => cli().exec(['arping', '-c', '1', '-w', '1', '-I', 'eth0', VIP], { allowFailure: true });
    expect((await asked()).code).not.toBe(0);
    expect(await agent.want({ announced: both })).toHaveLength(1);
    expect((await asked()).stdout.toLowerCase()).toContain((await macOf('wan')) ?? 'no address');
    await cli().exec(['ping', '-c', '1', '-W', '1', VIP6]);
    expect(await neighbour(VIP6)).toBe(await macOf('wan'));
    await agent.want({ announced: [] });
    expect((await asked()).code).not.toBe(0);
    expect(await addresses()).toEqual(['192.168.100.1/24', 'fd00:100::1/64']);
  });

  it.each([VIP, VIP6])('tells a neighbour that knew another for %s', async (address) => {
    await cli().ip(`neigh replace ${address} lladdr ${OLD_MAC} dev eth0 nud reachable`);
    await agent.want({ announced: both });
    const mac = await macOf('wan');
    await waitFor(async () => (await neighbour(address)) === mac, { what: 'the announcement of the address' });
  });

  it('never speaks from a virtual address by itself', async () => {
    await gw().ip('addr del 192.168.100.1/24 dev wan');
    await agent.want({ announced: both });
    await gw().ip('addr add 192.168.100.1/24 dev wan');
    expect(await gw().ip('route get 192.168.100.20')).toContain('src 192.168.100.1 ');
    expect(await gw().ip('route get fd00:100::20')).toContain('src fd00:100::1 ');
    await gw().ip('route add default via 192.168.100.20');
    expect(await gw().ip('route get 9.9.9.9')).toContain('src 192.168.100.1 ');
    await gw().ip('route del default');
  });

  it('notices at once when somebody takes one away, and gives it back', async () => {
    await agent.want({ announced: both });
    await agent.seen();
    await gw().ip(`addr del ${VIP}/32 dev wan`);
    await waitFor(async () => (await agent.seen()) > 0, { what: 'the announcement of the kernel', timeoutMs: 1000 });
    expect((await agent.look()).drift).toEqual([`missing address/${VIP}`]);
    expect(await agent.want({ announced: both })).toEqual([`addresses: add and announce ${VIP} on wan`]);
    expect((await agent.look()).drift).toEqual([]);
  });

  it('gives an address of IPv6 back that a link lost while it was down', async () => {
    await agent.want({ announced: both });
    await agent.seen();
    await gw().ip('link set wan down');
    await gw().ip('link set wan up');
    await waitFor(async () => (await agent.seen()) > 0, { what: 'the announcement of the kernel', timeoutMs: 1000 });
    await agent.want({ announced: both });
    await gw().ip('addr add fd00:100::1/64 dev wan nodad');
    await cli().exec(['ping', '-c', '1', '-W', '2', VIP6]);
  });

  it('is recognised and cleaned up by a process without memory, even without its record', async () => {
    await agent.want({ announced: both });
    const other = await HostAgent.on(gw(), lab.directory('elsewhere'));
    expect((await other.look()).planned).not.toContain(VIP);
    expect(await other.want({ announced: both })).toEqual([]);
    await other.cleanUp();
    await other.stop();
    expect(await addresses()).toEqual(['192.168.100.1/24', 'fd00:100::1/64']);
  });

  it('leaves the host its own', async () => {
    await gw().ip(`addr add ${VIP}/32 dev wan`);
    expect(await agent.want({ announced: [[VIP, 'wan']] })).toEqual([]);
    expect((await agent.look()).planned).toContain(VIP);
    await agent.want({ announced: [] });
    await agent.cleanUp();
    expect(await addresses()).toContain(`${VIP}/32`);
    await gw().ip(`addr del ${VIP}/32 dev wan`);
  });

  it('tells of an address that cannot be had, and has the others', async () => {
    await agent.want({ announced: [...both, ['192.168.100.4', 'eth9']] });
    expect(await addresses()).toContain(`${VIP}/32`);
    const looked = await agent.look();
    expect(looked.conditions).toMatchObject({ AddressesAnnounced: 'ADDRESS_NOT_ADDED' });
    expect(looked.findings).toEqual(['the gateway does not answer for 192.168.100.4 on eth9: there is no interface eth9']);
    expect(looked.drift).toEqual([]);
  });

  it('sends no redirects where a target and its clients share a network, for as long as that is so', async () => {
    const read = async () =>
      Promise.all(['all', 'wan', 'lan'].map((name) => gw().readSysctl(`net.ipv4.conf.${name}.send_redirects`)));
    await gw().sysctl({
      'net.ipv4.conf.all.send_redirects': 1,
      'net.ipv4.conf.wan.send_redirects': 1,
      'net.ipv4.conf.lan.send_redirects': 1,
    });
    const wanted = { announced: [], hairpins: ['10.0.0.0/24'] };
    await agent.want(wanted);
    expect(await read()).toEqual(['0', '1', '0']);
    await gw().sysctl({ 'net.ipv4.conf.lan.send_redirects': 1 });
    expect((await agent.look()).drift).toEqual(['sysctl sysctl/net.ipv4.conf.lan.send_redirects']);
    await agent.want(wanted);
    await agent.want({ announced: [] });
    expect(await read()).toEqual(['1', '1', '1']);
  });

  it('forwards IPv6 without losing the default route that a router announced, and goes back', async () => {
    const read = async () =>
      Promise.all(['wan.accept_ra', 'all.forwarding'].map((name) => gw().readSysctl(`net.ipv6.conf.${name}`)));
    const router = await HostAgent.on(cli(), lab.directory('router'));
    await waitFor(async () => !(await cli().ip('addr show dev eth0 scope link')).includes('tentative'), { what: 'an address' });
    /** The default route after a router announced itself. What comes after that on the same cable was seen later. */
    const announced = async () => {
      await gw().exec(['ip', '-6', 'route', 'flush', 'default']);
      await router.advertise('eth0');
      await cli().exec(['ping', '-c', '1', '-W', '1', 'fd00:100::1']);
      return gw().ip('-6 route show default');
    };
    await gw().sysctl({ 'net.ipv6.conf.all.forwarding': 0, 'net.ipv6.conf.wan.accept_ra': 1 });
    expect(await announced()).toContain('proto ra');
    expect(await agent.forwarding6(true)).toEqual({ on: true, ours: true });
    expect(await read()).toEqual(['2', '1']);
    expect(await gw().ip('-6 route show default')).toContain('proto ra');
    expect(await announced()).toContain('proto ra');
    await gw().sysctl({ 'net.ipv6.conf.wan.accept_ra': 1 });
    // A router by the host's own settings: what would have become of it.
    expect(await announced()).toBe('');
    await agent.want({ announced: [] });
    expect(await read()).toEqual(['2', '1']);
    await agent.forwarding6(false);
    expect(await read()).toEqual(['1', '0']);
    await gw().sysctl({ 'net.ipv6.conf.wan.accept_ra': 0 });
    await router.stop();
  });

  it('notices when forwarding is turned off', async () => {
    await agent.want({ announced: both });
    await agent.seen();
    await gw().sysctl({ 'net.ipv4.ip_forward': 0 });
    await waitFor(async () => (await agent.seen()) > 0, { what: 'the announcement of the kernel', timeoutMs: 1000 });
    await gw().sysctl({ 'net.ipv4.ip_forward': 1, 'net.ipv4.conf.lan.forwarding': 0 });
    expect((await agent.look()).conditions).toMatchObject({ InterfacesForward: 'INTERFACE_OFF' });
    await gw().sysctl({ 'net.ipv4.conf.lan.forwarding': 1 });
  });

  it('has the FTP helper, where it is wanted', async () => {
    await agent.want({ announced: [], ftp: true });
    expect((await agent.look()).conditions).toMatchObject({ FtpHelper: 'READY' });
  });

  it('finds rules of others that take a listener too', async () => {
    const listeners = [443, 80, 8080, 9].map((port) => ({ address: '192.168.100.1', port }));
    await agent.want({ announced: [], listeners });
    expect((await agent.look()).findings).toEqual([]);
    const rules = `
      table inet other {
        map ports { type inet_service : ipv4_addr; elements = { 80 : 10.0.0.10 } }
        chain pre {
          type nat hook prerouting priority -100;
          iifname "wan" tcp dport { 443, 444 } dnat ip to 10.0.0.10
          meta nfproto ipv4 dnat ip to tcp dport map @ports
        }
      }`;
    await gw().exec(['nft', '-f', '-'], { stdin: rules });
    const docker =
      '*nat\n:DOCKER - [0:0]\n-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER\n-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.0.0.10:80\nCOMMIT\n';
    await gw().exec(['iptables-nft-restore', '--noflush'], { stdin: docker });
    const found = await waitFor(
      async () => {
        const { findings } = await agent.look();
        return findings.length === 3 ? findings : undefined;
      },
      { what: 'three listeners that others take', timeoutMs: 5000 },
    );
    expect(found.map((f) => f.split(' of another tool')[0])).toEqual([
      'nft inet other pre',
      'nft inet other pre',
      'iptables-nft nat/DOCKER',
    ]);
    expect(found[2]).toContain('the forward comes first (priority -105 against -100)');
    await gw().exec(['nft', 'delete', 'table', 'inet', 'other']);
    await gw().exec(['nft', 'delete', 'table', 'ip', 'nat']);
  });

  it('costs little to look at while nothing changes', async () => {
    await agent.want({ announced: both });
    await agent.look();
    const took = await Promise.all(Array.from({ length: 20 }, async () => (await agent.look()).ms));
    // A median: this machine has other things to do.
    expect(took.sort((a, b) => a - b)[10]).toBeLessThan(20);
  });
});
