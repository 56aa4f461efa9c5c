/** Scenario 3 with the rules that somebody would write by hand: shows that hosts and programs are right. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Lab } from '../lab.js';
import { createScenario3, type Scenario3Host, scenario3 } from '../scenario3.js';
import { Nginx } from './nginx.js';
import { Vsftpd } from './vsftpd.js';

describe('scenario 3 by hand', () => {
  let lab: Lab<Scenario3Host>;
  let ftp: Vsftpd;
  const { listener, vm03, ipv6 } = scenario3;

  beforeAll(async () => {
    lab = await createScenario3('hand3');
  });
  afterAll(() => lab?.destroy());

  it('has an address that nobody has, and a target that knows no way back', async () => {
    const vm01 = lab.host('vm01');
    expect(await vm01.ip('route')).toBe('192.168.100.0/24 dev eth0 proto kernel scope link src 192.168.100.1 \n');
    expect((await vm01.exec(['ping', '-c', '1', '-W', '1', listener], { allowFailure: true })).code).toBe(1);
    const vm02 = lab.host('vm02');
    await vm02.sysctl({ 'net.ipv4.ip_forward': 1 });
    await vm02.ip(`address add ${listener}/32 dev eth0`);
    await vm02.exec(['nft', '-f', '-'], {
      stdin: `table ip hand {
        chain pre {
          type nat hook prerouting priority dstnat;
          ip daddr ${listener} dnat to ${vm03};
        }
      }`,
    });
    expect((await vm01.exec(['ping', '-c', '1', '-W', '1', listener], { allowFailure: true })).code).toBe(1);
    await vm02.exec(['nft', '-f', '-'], {
      stdin: `table ip hand {
        chain post {
          type nat hook postrouting priority srcnat;
          oif eth1 masquerade;
        }
      }`,
    });
    await vm01.exec(['ping', '-c', '1', '-W', '1', listener]);
    const nginx = await Nginx.start(lab, 'vm03', { addresses: [vm03], httpsPort: 443, certificateFor: [listener] });
    const seen = `vm03 https ${scenario3.gatewayInside}\n`;
    expect((await nginx.get(vm01, { to: listener, https: true })).stdout).toBe(seen);
  });

  it('carries FTP only where connection tracking follows it', async () => {
    const vm01 = lab.host('vm01');
    ftp = await Vsftpd.start(lab, 'vm03');
    for (const mode of ['active', 'passive'] as const)
      await expect(ftp.download(vm01, { to: listener, mode, bytes: 1000, timeoutMs: 3000 })).rejects.toThrow(/curl: \(\d+\)/);
    await lab.host('vm02').exec(['nft', '-f', '-'], {
      stdin: `table ip hand {
        ct helper ftp {
          type "ftp" protocol tcp;
        }
        chain helper {
          type filter hook prerouting priority -150;
          ip daddr ${listener} tcp dport 21 ct helper set "ftp";
        }
      }`,
    });
    for (const mode of ['active', 'passive'] as const) {
      for (const extended of [false, true]) {
        const { sent, received } = await ftp.download(vm01, { to: listener, mode, extended });
        expect(received).toBe(sent);
      }
      const { sent, received } = await ftp.upload(vm01, { to: listener, mode });
      expect(received).toBe(sent);
    }
  });

  it('does the same over IPv6', async () => {
    const [vm01, vm02] = [lab.host('vm01'), lab.host('vm02')];
    await vm02.sysctl({ 'net.ipv6.conf.all.forwarding': 1 });
    await vm02.ip(`address add ${ipv6.listener}/128 dev eth0 nodad`);
    await vm02.exec(['nft', '-f', '-'], {
      stdin: `table ip6 hand {
        ct helper ftp {
          type "ftp" protocol tcp;
        }
        chain helper {
          type filter hook prerouting priority -150;
          ip6 daddr ${ipv6.listener} tcp dport 21 ct helper set "ftp";
        }
        chain pre {
          type nat hook prerouting priority dstnat;
          ip6 daddr ${ipv6.listener} dnat to ${ipv6.vm03};
        }
        chain post {
          type nat hook postrouting priority srcnat;
          oif eth1 masquerade;
        }
      }`,
    });
    await vm01.exec(['ping', '-6', '-c', '1', '-W', '1', ipv6.listener]);
    for (const mode of ['active', 'passive'] as const) {
      const { sent, received } = await ftp.download(vm01, { to: ipv6.listener, mode, extended: true });
      expect(received).toBe(sent);
    }
  });
});
