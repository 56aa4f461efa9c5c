/** Scenario 3: an address that does not exist, 1:1 NAT between two segments, with real programs and by both kernel drivers. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Bind, dig } from '../lab/daemons/bind.js';
import { Mariadb, queryMariadb } from '../lab/daemons/mariadb.js';
import { Nginx } from '../lab/daemons/nginx.js';
import { Sshd } from '../lab/daemons/sshd.js';
import { Vsftpd } from '../lab/daemons/vsftpd.js';
import { type RulesSnapshot, waitFor } from '../lab/index.js';
import { rootOnly } from '../lab/root-only.js';
import { createScenario3, type Scenario3Host, scenario3 } from '../lab/scenario3.js';
import { Deployment } from './deployment.js';

const { listener, vm03, gatewayInside, ipv6 } = scenario3;
const ADD6 = ['--gateway', 'vm02', '--listen', `[${ipv6.listener}]/all`, '--target', `[${ipv6.vm03}]`, '--announce', '--wait'];
/** What an administrator of vm02 has there already. */
const FOREIGN = `
  table inet admin {
    chain input {
      type filter hook input priority 0;
      tcp dport 23 drop
    }
    chain forward {
      type filter hook forward priority 0;
      tcp dport 25 drop
    }
  }`;

describe.each(['nftables', 'iptables-nft'])('an address that nobody has, by %s', (driver) => {
  let site: Deployment<Scenario3Host>;
  let nginx: Nginx;
  let ftp: Vsftpd;
  let before: { rules: RulesSnapshot; addresses: string };

  const vm01 = () => site.lab.host('vm01');
  const rulesAndAddresses = async () => ({
    rules: await site.lab.snapshotRules('vm02', { without: null }),
    addresses: await site.lab.host('vm02').ip('-brief address'),
  });
  const ping = (to: string) =>
    vm01()
      .exec(['ping', '-q', '-c', '3', '-i', '0.02', '-W', '1', to], { allowFailure: true })
      .then((r) => r.code);
  /** What vm01's neighbour table has for an address: a hardware address, or nothing. */
  const neighbour = async (to: string) => /lladdr (\S+)/.exec(await vm01().ip(`neighbour show ${to} dev eth0`))?.[1];
  const hardwareAddress = async () => /link\/ether (\S+)/.exec(await site.lab.host('vm02').ip('link show eth0'))?.[1];

  beforeAll(async () => {
    const lab = await createScenario3(`s3-${driver}`);
    try {
      await lab.host('vm02').exec(['nft', '-f', '-'], { stdin: FOREIGN });
      const addresses = [vm03, ipv6.vm03];
      [nginx, ftp] = await Promise.all([
        Nginx.start(lab, 'vm03', { addresses, httpsPort: 443, certificateFor: [listener, ipv6.listener] }),
        Vsftpd.start(lab, 'vm03'),
        Bind.start(lab, 'vm03', { addresses, zone: 'legacy', records: { erp: ['192.168.200.77'] } }),
        Mariadb.start(lab, 'vm03', { address: vm03 }),
      ]);
      site = await Deployment.start({ lab, control: { host: 'control', address: scenario3.control }, gateway: 'vm02', driver });
    } catch (error) {
      await lab.destroy();
      throw error;
    }
    before = await rulesAndAddresses();
  }, 120_000);
  afterAll(() => site?.stop());

  it('is there for its neighbours at once', async () => {
    expect(await ping(listener)).toBe(1);
    // Whoever had the address before: its neighbours must forget that by our announcement, not by asking again.
    await vm01().ip(`neighbour replace ${listener} lladdr 02:00:00:00:00:99 dev eth0 nud stale`);
    await site.example('3-an-address-that-does-not-exist.sh');
    const mac = await hardwareAddress();
    await waitFor(async () => (await neighbour(listener)) === mac, { what: "vm01 has vm02's hardware address for it" });
    expect(await ping(listener)).toBe(0);
    expect(await neighbour(listener)).toBe(mac);
    expect(await site.placement('legacy-db')).toMatchObject({ gateway: 'vm02', state: 'ACTIVE', driver });
  });

  it('needs no route on the client', async () => {
    expect((await vm01().ip('-4 route')).trim().split('\n')).toEqual([expect.stringMatching(/^192\.168\.100\.0\/24 dev eth0 /)]);
  });

  it('carries http and https', async () => {
    expect((await nginx.get(vm01(), { to: listener })).stdout).toBe(`vm03 http ${gatewayInside}\n`);
    expect((await nginx.get(vm01(), { to: listener, https: true })).stdout).toBe(`vm03 https ${gatewayInside}\n`);
  });

  it('carries DNS over UDP and TCP', async () => {
    for (const tcp of [false, true]) {
      const answer = await dig(vm01(), { to: listener, name: 'erp.legacy', tcp });
      expect(answer).toEqual({ status: 'NOERROR', data: ['192.168.200.77'] });
    }
  });

  it('carries a MariaDB client', async () => {
    expect((await queryMariadb(vm01(), { to: listener })).stdout).toBe('vm03\n');
  });

  rootOnly('carries ssh', 'sshd', async () => {
    const sshd = await Sshd.start(site.lab, 'vm03', { addresses: [vm03] });
    const { stdout } = await sshd.ssh(vm01(), { to: listener, port: 22, command: 'echo $(hostname) $SSH_CONNECTION' });
    expect(stdout).toMatch(new RegExp(`^vm03 ${gatewayInside} \\d+ ${vm03} 22\n$`));
  });

  it.each([
    ['active', 'PORT', false],
    ['active', 'EPRT', true],
    ['passive', 'PASV', false],
    ['passive', 'EPSV', true],
  ] as const)('carries 10 MB by FTP each way, %s (%s)', async (mode, _command, extended) => {
    const down = await ftp.download(vm01(), { to: listener, mode, extended });
    expect(down.received).toBe(down.sent);
    const up = await ftp.upload(vm01(), { to: listener, mode, extended });
    expect(up.received).toBe(up.sent);
  });

  it('does the same over IPv6', async () => {
    expect(await ping(ipv6.listener)).not.toBe(0);
    await site.gwctl(['forward', 'add', 'legacy-db6', ...ADD6]);
    expect(await ping(ipv6.listener)).toBe(0);
    expect(await neighbour(ipv6.listener)).toBe(await hardwareAddress());
    const seen = `vm03 https ${ipv6.gatewayInside}\n`;
    expect((await nginx.get(vm01(), { to: ipv6.listener, https: true })).stdout).toBe(seen);
    for (const tcp of [false, true])
      expect(await dig(vm01(), { to: ipv6.listener, name: 'erp.legacy', tcp })).toMatchObject({ status: 'NOERROR' });
    for (const mode of ['active', 'passive'] as const) {
      const { sent, received } = await ftp.download(vm01(), { to: ipv6.listener, mode, extended: true });
      expect(received).toBe(sent);
    }
  });

  it('leaves nothing of ours after its deletion, and the rest as it was', async () => {
    for (const name of ['legacy-db', 'legacy-db6']) await site.gwctl(['forward', 'delete', name, '--wait']);
    expect(await rulesAndAddresses()).toEqual(before);
    for (const key of ['net.ipv4.ip_forward', 'net.ipv6.conf.all.forwarding'])
      expect(await site.lab.host('vm02').readSysctl(key)).toBe('0');
    await vm01().ip('neighbour flush dev eth0');
    expect(await ping(listener)).toBe(1);
    expect(await ping(ipv6.listener)).not.toBe(0);
  });
});
