import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import type { EgressResource } from '../resources/egress.js';
import type { ForwardResource } from '../resources/forward.js';
import type { GatewayResource } from '../resources/gateway.js';
import { toJson, toYaml } from './documents.js';
import { describeEgress } from './egress-description.js';
import { egressView } from './egress-view.js';
import { escapeText } from './escape.js';
import { describeForward } from './forward-description.js';
import { forwardView } from './forward-view.js';
import { describeGateway, gatewayView } from './gateway-view.js';
import { formatBytes, formatRtt, grouped } from './numbers.js';
import { listenerText, stateSummary } from './placement-view.js';
import { tableLines } from './table.js';
import { listLines } from './view.js';

const NOW = Date.UTC(2026, 0, 2, 12);
const EVIL = 'a\u001b[2Jb\u009bc\u202ed\u007fe\nf';

const forward: ForwardResource = {
  apiVersion: 'gwctl/v1',
  kind: 'Forward',
  metadata: {
    name: 'gitbucket-ssh',
    labels: { team: 'web', tier: 'edge' },
    uid: '0d9f7f0e-2222-4444-8888-000000000001',
    etag: 'e3',
    generation: 3,
    createTime: '2026-01-01T12:00:00Z',
    updateTime: '2026-01-02T11:55:00Z',
  },
  spec: {
    description: 'SSH to GitBucket for the lab network',
    owner: 'web-team',
    gateway: 'gw1',
    listen: { address: '192.168.1.10', interface: 'enp1s0', protocol: 'tcp', ports: '10022' },
    targets: [
      { host: '192.168.2.122', port: 10022, weight: 3 },
      { host: '192.168.2.123', port: 10022, weight: 1 },
    ],
    allowSources: ['192.168.1.0/24'],
    snat: { mode: 'address', address: '192.168.2.10' },
    driver: 'auto',
    onChange: 'drain',
    affinity: 'client',
    helper: 'none',
    clampMss: true,
    healthCheck: { mode: 'tcp', port: 8081 },
    enabled: true,
    expires: '2026-01-02T20:00:00Z',
  },
  status: {
    placements: [
      {
        gateway: 'gw1',
        state: 'DEGRADED',
        observedGeneration: 3,
        revision: 17,
        reportTime: '2026-01-02T11:59:58Z',
        driver: 'iptables-nft',
        listen: { address: '192.168.1.10', protocol: 'tcp', ports: '10022' },
        targets: [
          { host: '192.168.2.122', address: '192.168.2.122', port: 10022, health: 'healthy', rttMicros: 312 },
          { host: 'db.example.net', address: '192.168.2.123', port: 10022, health: 'unhealthy' },
        ],
        clientAddress: 'hidden: the target sees 192.168.2.10, because SNAT is a fixed address',
        counters: { packets: 1234567, bytes: 1610612736, flows: 42, refused: 3 },
        drift: {
          cause: 'altered',
          object: 'nat/GWCTL-DISP',
          message: 'a rule was changed',
          detectedTime: '2026-01-02T11:00:00Z',
          repairedTime: '2026-01-02T11:00:01Z',
          process: 'iptables (pid 77)',
        },
        conditions: [
          {
            type: 'Applied',
            status: 'true',
            reason: 'APPLIED',
            message: 'in place since revision 17',
            transitionTime: '2026-01-02T11:56:00Z',
          },
          { type: 'TargetsHealthy', status: 'false', reason: 'REFUSED', message: '192.168.2.123 refuses; is it running?' },
        ],
        violations: [],
      },
    ],
  },
};

const gateway: GatewayResource = {
  apiVersion: 'gwctl/v1',
  kind: 'Gateway',
  metadata: { name: 'gw1', labels: { site: 'tokyo' }, uid: 'u1', etag: 'g1', createTime: '2026-01-01T12:00:00Z' },
  spec: { cordoned: true, driftPolicy: 'report', resolvers: ['10.0.0.2:53'], dnsMinTtlSeconds: 5, dnsMaxTtlSeconds: 300 },
  status: {
    connected: true,
    enrolled: true,
    connectedTime: '2026-01-02T11:00:00Z',
    lastSeenTime: '2026-01-02T11:59:59Z',
    revision: 17,
    acceptedRevision: 17,
    appliedRevision: 15,
    agentVersion: '0.1.0',
    hostname: EVIL,
    kernel: '6.1.0',
    driver: 'iptables-nft',
    forwards: 2,
    egresses: 1,
    capabilities: [{ name: 'driver.iptables-nft', supported: true, detail: 'tried' }],
    conditions: [{ type: 'IpForwarding', status: 'true', reason: 'ON', message: 'net.ipv4.ip_forward is 1' }],
  },
};

const egress: EgressResource = {
  apiVersion: 'gwctl/v1',
  kind: 'Egress',
  metadata: { name: 'lan-out', labels: {}, generation: 2, createTime: '2026-01-01T12:00:00Z' },
  spec: {
    gateway: 'gw1',
    sources: ['10.0.0.0/16', '10.2.0.0/16'],
    outInterface: 'eth0',
    snat: { mode: 'masquerade' },
    exceptDestinations: ['172.16.0.0/12'],
    enabled: true,
  },
  status: {
    placements: [
      {
        gateway: 'gw1',
        state: 'ACTIVE',
        observedGeneration: 2,
        revision: 18,
        driver: 'nftables',
        targets: [],
        counters: { packets: 12, bytes: 2048, flows: 3, refused: 0 },
        conditions: [{ type: 'Applied', status: 'true', reason: 'APPLIED', message: 'in place' }],
        violations: [],
      },
    ],
  },
};

describe('tables', () => {
  it('of forwards', () => {
    expect(listLines(forwardView, [forward], NOW, false, true)).toEqual([
      'NAME            GATEWAY   LISTEN                   TARGET                   STATE      OWNER      EXPIRES   AGE',
      'gitbucket-ssh   gw1       192.168.1.10:10022/tcp   192.168.2.122:10022 +1   DEGRADED   web-team   8h        24h',
    ]);
  });

  it('of forwards, wide, without headers', () => {
    expect(listLines(forwardView, [forward], NOW, true, false)).toEqual([
      'gitbucket-ssh   gw1   192.168.1.10:10022/tcp   192.168.2.122:10022 +1   DEGRADED   web-team   8h   24h   enp1s0   192.168.1.0/24   192.168.2.10   192.168.2.122:10022 healthy, 0.31 ms; db.example.net = 192.168.2.123:10022 unhealthy   iptables-nft   42   1.5 GiB   3   altered nat/GWCTL-DISP, repaired   TargetsHealthy=REFUSED   team=web,tier=edge   SSH to GitBucket for the lab network',
    ]);
  });

  it('of egresses, also wide', () => {
    expect(listLines(egressView, [egress], NOW, false, true)).toEqual([
      'NAME      GATEWAY   SOURCE           OUT    SNAT         STATE    OWNER   AGE',
      'lan-out   gw1       10.0.0.0/16 +1   eth0   masquerade   ACTIVE   -       24h',
    ]);
    expect(listLines(egressView, [egress], NOW, true, false)).toEqual([
      'lan-out   gw1   10.0.0.0/16 +1   eth0   masquerade   ACTIVE   -   24h   10.0.0.0/16,10.2.0.0/16   172.16.0.0/12   nftables   3   2.0 KiB   0   -   -   -   -',
    ]);
  });

  it('of gateways', () => {
    expect(listLines(gatewayView, [gateway], NOW, false, true)).toEqual([
      'NAME   STATUS             FORWARDS   REVISION   DRIVER         LABELS       AGE',
      'gw1    online, cordoned   2          15 of 17   iptables-nft   site=tokyo   24h',
    ]);
  });

  it('keep one line for each row, and their columns, whatever the cells hold', () => {
    expect(
      tableLines([
        ['A', 'B'],
        [EVIL, '東京'],
        ['x', 'y'],
      ]),
    ).toEqual([
      'A                                     B',
      'a\\u001b[2Jb\\u009bc\\u202ed\\u007fe\\nf   東京',
      'x                                     y',
    ]);
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.string({ unit: 'binary' }), fc.string()), { maxLength: 5 }), (rows) => {
        expect(tableLines(rows)).toHaveLength(rows.length);
      }),
    );
  });
});

describe('descriptions', () => {
  it('of a forward', () => {
    expect(describeForward(forward, NOW)).toEqual([
      'Name:             gitbucket-ssh',
      'Description:      SSH to GitBucket for the lab network',
      'Owner:            web-team',
      'Labels:           team=web,tier=edge',
      'Gateway:          gw1',
      'Listener:         192.168.1.10:10022/tcp on enp1s0',
      'Targets:          192.168.2.122:10022 (weight 3)',
      '                  192.168.2.123:10022 (weight 1)',
      'Allowed:          192.168.1.0/24',
      'SNAT:             address 192.168.2.10',
      'Driver:           auto',
      'On change:        drain',
      'Affinity:         client',
      'Helper:           none',
      'Health check:     tcp to port 8081',
      'MSS:              lowered to what fits the path',
      'Enabled:          yes',
      'Expires:          2026-01-02T20:00:00Z (in 8h)',
      'Generation:       3',
      'Created:          2026-01-01T12:00:00Z (24h ago)',
      'Changed:          2026-01-02T11:55:00Z (5m ago)',
      'Uid:              0d9f7f0e-2222-4444-8888-000000000001',
      'Etag:             e3',
      '',
      'On gw1:           DEGRADED',
      '  Driver:         iptables-nft',
      '  Listener:       192.168.1.10:10022/tcp',
      '  Targets:        192.168.2.122:10022 healthy, 0.31 ms',
      '                  db.example.net = 192.168.2.123:10022 unhealthy',
      '  Client address: hidden: the target sees 192.168.2.10, because SNAT is a fixed address',
      '  Traffic:        42 flows, 1,234,567 packets, 1.5 GiB, 3 refused',
      '  Drift:          altered nat/GWCTL-DISP by iptables (pid 77): a rule was changed; found 2026-01-02T11:00:00Z (60m ago), repaired 2026-01-02T11:00:01Z (59m ago)',
      '  Revision:       17 (generation 3 of 3)',
      '  Reported:       2026-01-02T11:59:58Z (2s ago)',
      '  Conditions:',
      '    TYPE             STATUS   REASON    SINCE   MESSAGE',
      '    Applied          true     APPLIED   4m      in place since revision 17',
      '    TargetsHealthy   false    REFUSED   -       192.168.2.123 refuses; is it running?',
    ]);
  });

  it('of an egress', () => {
    expect(describeEgress(egress, NOW)).toEqual([
      'Name:             lan-out',
      'Gateway:          gw1',
      'Sources:          10.0.0.0/16',
      '                  10.2.0.0/16',
      'Out interface:    eth0',
      'SNAT:             masquerade',
      'Except towards:   172.16.0.0/12',
      'Enabled:          yes',
      'Generation:       2',
      'Created:          2026-01-01T12:00:00Z (24h ago)',
      '',
      'On gw1:           ACTIVE',
      '  Driver:         nftables',
      '  Traffic:        3 flows, 12 packets, 2.0 KiB, 0 refused',
      '  Drift:          none',
      '  Revision:       18 (generation 2 of 2)',
      '  Reported:       never',
      '  Conditions:',
      '    TYPE      STATUS   REASON    SINCE   MESSAGE',
      '    Applied   true     APPLIED   -       in place',
    ]);
  });

  it('of a forward that was refused and says so with fields', () => {
    const [placement] = forward.status.placements;
    const refused: ForwardResource = {
      ...forward,
      status: {
        placements: [
          {
            ...placement!,
            state: 'REJECTED',
            conditions: [],
            violations: [{ field: 'listen.ports', description: '10022 is used by sshd; choose another port' }],
          },
        ],
      },
    };
    expect(describeForward(refused, NOW)).toContain('    listen.ports: 10022 is used by sshd; choose another port');
  });

  it('never show what was said of an older generation as if it were of this one', () => {
    const stale: ForwardResource = {
      ...forward,
      status: { placements: [{ ...forward.status.placements[0]!, state: 'ACTIVE', observedGeneration: 2 }] },
    };
    expect(stateSummary(stale)).toBe('PENDING');
    expect(describeForward(stale, NOW)).toContain(
      'On gw1:           PENDING (the agent has only spoken of generation 2: ACTIVE)',
    );
  });

  it('of a gateway', () => {
    const lines = describeGateway(gateway, NOW).map(escapeText);
    expect(lines).toContain('Revision:         17 wanted, 17 accepted, 15 applied');
    expect(lines).toContain('Cordoned:         yes: takes no changes until uncordoned');
    expect(lines).toContain('On drift:         report');
    expect(lines).toContain('DNS servers:      10.0.0.2:53');
    expect(lines).toContain('DNS asked again:  after the TTL, not sooner than 5s and not later than 5m');
    expect(lines.join('\n')).not.toMatch(/\u001b|\u009b|\u202e/);
  });
});

describe('stateSummary', () => {
  const summary = (...states: string[]) =>
    stateSummary({
      ...forward,
      status: { placements: states.map((state) => ({ ...forward.status.placements[0]!, state })) },
    });
  it.each([
    [[], 'NOWHERE'],
    [['ACTIVE'], 'ACTIVE'],
    [['ACTIVE', 'ACTIVE'], 'ACTIVE'],
    [['ACTIVE', 'REJECTED', 'ACTIVE'], 'REJECTED (1 of 3)'],
    [['ACTIVE', 'UNKNOWN'], 'UNKNOWN (1 of 2)'],
    [['DEGRADED', 'PENDING'], 'DEGRADED (1 of 2)'],
    [['ACTIVE', 'UNRECOGNISED_9'], 'UNRECOGNISED_9 (1 of 2)'],
  ])('%j: %s', (states, expected) => {
    expect(summary(...states)).toBe(expected);
  });
});

describe('documents', () => {
  const awkward = { name: 'x', message: EVIL, plain: 'left\u202eright', lines: 'a\nb', tab: 'a\tb', number: '10022', yes: 'yes' };

  it('JSON is the same object and holds nothing that a terminal obeys', () => {
    const text = toJson(awkward);
    expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
    expect(JSON.parse(text)).toEqual(awkward);
  });

  it('YAML is the same object and holds nothing that a terminal obeys', async () => {
    const text = await toYaml([awkward]);
    expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
    expect(parse(text)).toEqual(awkward);
  });

  it('both keep every text', async () => {
    await fc.assert(
      fc.asyncProperty(fc.dictionary(fc.stringMatching(/^[a-z]+$/), fc.string({ unit: 'grapheme' })), async (value) => {
        const plain = { ...value };
        expect(JSON.parse(toJson(plain))).toEqual(plain);
        expect(parse(await toYaml([plain]))).toEqual(plain);
      }),
    );
  });

  it('YAML of a forward has the form of the design', async () => {
    expect((await toYaml([forward])).split('\n').slice(0, 46)).toEqual([
      'apiVersion: gwctl/v1',
      'kind: Forward',
      'metadata:',
      '  name: gitbucket-ssh',
      '  labels:',
      '    team: web',
      '    tier: edge',
      '  uid: 0d9f7f0e-2222-4444-8888-000000000001',
      '  etag: e3',
      '  generation: 3',
      '  createTime: 2026-01-01T12:00:00Z',
      '  updateTime: 2026-01-02T11:55:00Z',
      'spec:',
      '  description: SSH to GitBucket for the lab network',
      '  owner: web-team',
      '  gateway: gw1',
      '  listen:',
      '    address: 192.168.1.10',
      '    interface: enp1s0',
      '    protocol: tcp',
      '    ports: "10022"',
      '  targets:',
      '    - host: 192.168.2.122',
      '      port: 10022',
      '      weight: 3',
      '    - host: 192.168.2.123',
      '      port: 10022',
      '      weight: 1',
      '  allowSources:',
      '    - 192.168.1.0/24',
      '  snat:',
      '    mode: address',
      '    address: 192.168.2.10',
      '  driver: auto',
      '  onChange: drain',
      '  affinity: client',
      '  helper: none',
      '  clampMss: true',
      '  healthCheck:',
      '    mode: tcp',
      '    port: 8081',
      '  enabled: true',
      '  expires: 2026-01-02T20:00:00Z',
      'status:',
      '  placements:',
      '    - gateway: gw1',
    ]);
  });
});

describe('small things', () => {
  it.each([
    [{ protocol: 'tcp', ports: '80' }, '*:80/tcp'],
    [{ address: '2001:db8::1', protocol: 'tcp', ports: '443' }, '[2001:db8::1]:443/tcp'],
    [{ address: '192.168.100.3', protocol: 'all' }, '192.168.100.3/all'],
  ])('listener %j is %s', (listener, text) => {
    expect(listenerText(listener)).toBe(text);
  });

  it('numbers', () => {
    expect([grouped(0), grouped(999), grouped(1000), grouped(1234567)]).toEqual(['0', '999', '1,000', '1,234,567']);
    expect([formatBytes(0), formatBytes(1023), formatBytes(1024), formatBytes(5e15)]).toEqual([
      '0 B',
      '1023 B',
      '1.0 KiB',
      '4.4 PiB',
    ]);
    expect([formatRtt(90), formatRtt(12_345)]).toEqual(['0.09 ms', '12 ms']);
  });
});
