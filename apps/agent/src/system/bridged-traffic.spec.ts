import { describe, expect, it } from 'vitest';
import { type BridgeSources, bridgedTraffic } from './bridged-traffic.js';

/** Two bridges; `settings` of br_netfilter and `own` switches of each by name, those that are not named 0. */
function host(settings: Record<string, string> | undefined, own: Record<string, string> = {}): BridgeSources {
  return {
    setting: (name) => (settings ? `${settings[name] ?? '0'}\n` : undefined),
    bridges: () => ['br0', 'docker0'],
    ofBridge: (bridge, name) => `${own[`${bridge}/${name}`] ?? '0'}\n`,
  };
}

describe('frames that only pass over a bridge', () => {
  it.each([
    ['nothing is switched on', host({})],
    ['the kernel has no br_netfilter, whatever a bridge says', host(undefined, { 'br0/nf_call_iptables': '1' })],
    ['there is no bridge', { ...host({ 'bridge-nf-call-iptables': '1' }), bridges: () => [] }],
  ])('meet no rules where %s', (_, sources) => {
    expect(bridgedTraffic(sources)()).toEqual([]);
  });

  it('meet them for all bridges, or for one, by family', () => {
    const sources = host({ 'bridge-nf-call-iptables': '1' }, { 'br0/nf_call_iptables': '1', 'docker0/nf_call_ip6tables': '1' });
    expect(bridgedTraffic(sources)()).toEqual([
      { setting: 'net.bridge.bridge-nf-call-iptables', bridges: ['br0', 'docker0'] },
      { setting: '/sys/class/net/docker0/bridge/nf_call_ip6tables', bridges: ['docker0'] },
    ]);
  });

  it('meet none where a bridge goes while it is looked at', () => {
    expect(bridgedTraffic({ ...host({}), ofBridge: () => undefined })()).toEqual([]);
  });

  it('of this host can be asked for', () => {
    expect(() => bridgedTraffic()()).not.toThrow();
  });
});
