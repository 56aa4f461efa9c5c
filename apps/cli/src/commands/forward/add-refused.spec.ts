import { AppError } from '@gwctl/shared/errors/app-error';
import { describe, expect, it } from 'vitest';
import { ADD } from '../../testing/run.js';
import { useControlPlane } from '../../testing/use-control-plane.js';

const site = useControlPlane({ gw1: { site: 'tokyo' } });

describe('forward add, refused', () => {
  it.each([
    ['--listen 0', '--listen: "0" is not a port; write a whole number from 1 to 65535'],
    ['--listen 70000', '--listen: "70000" is not a port'],
    ['--listen 50009-50000', '--listen: 50009-50000 is reversed; write the lower port first'],
    ['--listen 0.0.0.0:80', '--listen: 0.0.0.0 is not an address of a gateway'],
    ['--target 2001:db8::1', '--target: "2001:db8::1": an IPv6 address stands in brackets'],
    [
      '--target [2001:db8::1]:80 --driver kernel',
      '--target (number 1): 2001:db8::1 is IPv6 and the listener IPv4, between which the kernel does not translate; use driver auto or relay',
    ],
    [
      '--listen 127.0.0.1:80 --driver kernel',
      '--listen: 127.0.0.1 is a loopback address, to which the kernel forwards nothing; use driver auto or relay',
    ],
    [
      '--proxy-protocol v2 --driver kernel',
      '--proxy-protocol: the PROXY protocol is spoken by the relay only; use driver auto or relay',
    ],
    ['--max-connections-per-client 1 --driver kernel', '--max-connections-per-client: the kernel does not count connections'],
    [
      '--udp-idle-timeout 9s --listen 192.0.2.1:53/udp --driver kernel',
      '--udp-idle-timeout: the kernel has one time-out for all',
    ],
    [
      '--listen 192.0.2.1/all --target 198.51.100.2 --driver relay',
      '--listen: the relay carries TCP and UDP; 1:1 NAT of an address',
    ],
    ['--snat none --driver relay', '--snat: the relay opens connections of its own and cannot keep the client'],
    ['--helper ftp --driver relay', '--helper: the relay does not follow FTP'],
    ['--clamp-mss --driver relay', '--clamp-mss: connections of the relay end at the gateway'],
    ['--takeover --driver relay', '--takeover: the relay listens with a socket of its own'],
    [
      '--proxy-protocol v2 --snat none',
      '--proxy-protocol: the PROXY protocol is spoken by the relay only; the relay cannot carry',
    ],
    ['--snat none --proxy-protocol v2', 'the kernel cannot carry this forward either, so leave this out, or what keeps it from'],
    ['--proxy-protocol v3', '--proxy-protocol: "v3" is not a version of the PROXY protocol; use none, v1 or v2'],
    ['--listen 192.0.2.1:53/udp --proxy-protocol v1', '--proxy-protocol: version 1 of the PROXY protocol knows TCP only'],
    ['--udp-idle-timeout 5s', '--udp-idle-timeout: is about UDP, which the listener does not take; leave it out'],
    ['--connect-timeout 1500ms', '--connect-timeout: "1500ms" is not whole seconds'],
    ['--connect-timeout 6m', '--connect-timeout: "6m" is too long; write 1s to 5m, or default'],
    ['--tcp-idle-timeout 8d', '--tcp-idle-timeout: "8d" is too long; write 1s to 7d, or default'],
    ['--tcp-idle-timeout soon', '--tcp-idle-timeout: "soon" is not a duration'],
    ['--max-connections 1000001', '--max-connections: "1000001" is not a limit; write a whole number from 1 to 1000000, or none'],
    ['--max-connections=-1', '--max-connections: "-1" is not a limit'],
    ['--target 127.0.0.1:0', '--target: "0" is not a port'],
    ['--allow 192.168.1.1/24', '--allow: "192.168.1.1/24" has host bits set; write 192.168.1.0/24'],
    ['--allow 300.0.0.0/8', '--allow: "300.0.0.0/8" is not a CIDR'],
    ['--allow 2001:db8::/32', '--allow (number 1): 2001:db8::/32 is IPv6 but the forward is IPv4'],
    ['--gateway Gw_1', '--gateway: "Gw_1" is not a name'],
    ['--selector site=a', '--gateway or --selector: both are given; name one gateway or one selector'],
    ['--interface a/b', '--interface: "a/b" is not an interface name'],
    ['--snat bogus', '--snat: "bogus" is not a way of source NAT; use auto, masquerade, none'],
    ['--snat 2001:db8::1', '--snat: 2001:db8::1 is IPv6 but the target 198.51.100.2 is IPv4'],
    ['--affinity sticky', '--affinity: "sticky" is not an affinity; use none or client'],
    ['--helper sip', '--helper: "sip" is not a helper; use auto, none or ftp'],
    ['--health-check http', '--health-check: "http" is not a health check; use auto, none, tcp or tcp:PORT'],
    ['--health-check tcp:0', '--health-check: "0" is not a port'],
    ['--listen 192.0.2.1:53/udp --clamp-mss', '--clamp-mss: changes the segment size of TCP'],
    ['--listen 192.0.2.1:53/udp --health-check tcp', '--health-check: is missing; a listener for udp has no TCP port'],
    ['--target 198.51.100.2:80,weight=0', '--target: "198.51.100.2:80,weight=0": only ,weight=N may stand behind'],
    ['--driver fast', '--driver: "fast" is not a driver; use auto, kernel or relay'],
    ['--on-change now', '--on-change: "now" is not a policy for changes; use drain, cut or keep'],
    ['--expires 2020-01-01T00:00:00Z', '--expires: 2020-01-01T00:00:00Z has passed'],
    ['--label team', '--label: "team" is not a label; write KEY=VALUE'],
    ['--owner \u001b[2J', '--owner: "\\u001b[2J" holds control characters'],
    ['--wait=0s', '--wait: "0s" is no time at all'],
    ['--wait --dry-run', '--wait: has nothing to wait for with --dry-run'],
    ['--foo', '--foo: is not a flag of this command'],
  ])('refuses %j with exit code 2 and sends nothing', async (flags, why) => {
    const base = ADD.split(' ');
    for (const flag of flags.split(' ').filter((f) => f.startsWith('--'))) {
      const at = base.indexOf(flag);
      if (at >= 0) base.splice(at, 2);
    }
    const result = await site.run([...base, ...flags.split(' ')]);
    expect(result.stderr).toContain(why);
    expect(result).toMatchObject({ code: 2, stdout: '' });
    expect(site.fake.server.calls).toEqual([]);
    expect(result.stderr).not.toContain('\u001b');
  });

  it('says all that is wrong at once', async () => {
    const result = await site.run('forward add Bad_Name --listen 0 --target x:0 --allow 1.2.3.4/99');
    expect(result.stderr.split('\n')).toEqual([
      'gwctl: flags or arguments are wrong',
      '  --listen: "0" is not a port; write a whole number from 1 to 65535',
      '  --target: "0" is not a port; write a whole number from 1 to 65535',
      '  --allow: "1.2.3.4/99" has no prefix length from 0 to 32; write one like 192.168.1.0/24 or 2001:db8::/32',
      '  NAME: "Bad_Name" is not a name; use 1 to 63 of a-z, 0-9 and "-", with a letter or digit first and last',
      'hint: gwctl forward add --help',
      '',
    ]);
  });

  it.each([
    ['INVALID_ARGUMENT', 2],
    ['NOT_FOUND', 3],
    ['PERMISSION_DENIED', 4],
    ['ALREADY_EXISTS', 5],
    ['FAILED_PRECONDITION', 5],
    ['ABORTED', 5],
    ['UNIMPLEMENTED', 1],
    ['RESOURCE_EXHAUSTED', 1],
    ['INTERNAL', 1],
  ] as const)('ends with the exit code of what the control plane says: %s', async (code, exit) => {
    site.fake.server.answerNext('CreateForward', {
      fails: new AppError({
        code,
        reason: code,
        message: 'spec.listen.ports: *:80 is taken by \u001b[31mother',
        violations: [{ field: 'spec.listen.ports', description: '*:80 is taken by \u001b[31mother' }],
      }),
    });
    const result = await site.run(ADD);
    expect(result.code).toBe(exit);
    expect(result.stderr).toBe('gwctl: the control plane refused the request\n  --listen: *:80 is taken by \\u001b[31mother\n');
  });

  it('says what gateway is not there', async () => {
    const result = await site.run(ADD.replace('gw1', 'gw9'));
    expect(result).toMatchObject({ code: 3 });
    expect(result.stderr).toContain('there is no gateway gw9');
  });
});
