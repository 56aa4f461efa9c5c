import { existsSync, readdirSync, readFileSync } from 'node:fs';

/** Bridges of the host whose frames go through its rules of IP although they only pass, and what makes them. */
export interface BridgedFrames {
  /** What is 1: a kernel parameter by its dotted name, or a file below /sys of one bridge. */
  readonly setting: string;
  readonly bridges: readonly string[];
}

/** Nothing where there is no bridge, or frames that pass are left alone. */
export type BridgedTraffic = () => readonly BridgedFrames[];

/** What the kernel tells of its bridges. */
export interface BridgeSources {
  /** Text of /proc/sys/net/bridge/NAME; undefined where the kernel does not have br_netfilter, without which no frame meets rules. */
  setting(name: string): string | undefined;
  /** Names of the interfaces that are bridges. */
  bridges(): readonly string[];
  /** Text of /sys/class/net/BRIDGE/bridge/NAME; undefined where the kernel has no such file. */
  ofBridge(bridge: string, name: string): string | undefined;
}

const FAMILIES = ['iptables', 'ip6tables'] as const;

/**
 * Reads the switches of br_netfilter, of the network namespace since Linux 5.3 and each bridge's own. They are named after iptables, and
 * hold for nftables too.
 */
export function bridgedTraffic(sources: BridgeSources = kernelSources): BridgedTraffic {
  return () => {
    const all = FAMILIES.map((family) => ({ family, value: sources.setting(`bridge-nf-call-${family}`)?.trim() }));
    // Most hosts: not even the interfaces need to be looked at.
    if (all.every(({ value }) => value === undefined)) return [];
    const bridges = sources.bridges();
    if (bridges.length === 0) return [];
    return all.flatMap(({ family, value }): BridgedFrames[] => {
      if (value === undefined) return [];
      if (value !== '0') return [{ setting: `net.bridge.bridge-nf-call-${family}`, bridges }];
      const own = bridges.filter((bridge) => sources.ofBridge(bridge, `nf_call_${family}`)?.trim() === '1');
      return own.map((bridge) => ({ setting: `/sys/class/net/${bridge}/bridge/nf_call_${family}`, bridges: [bridge] }));
    });
  };
}

const INTERFACES = '/sys/class/net';

const kernelSources: BridgeSources = {
  setting: (name) => textOf(`/proc/sys/net/bridge/${name}`),
  bridges: () =>
    existsSync(INTERFACES) ? readdirSync(INTERFACES).filter((name) => existsSync(`${INTERFACES}/${name}/bridge`)) : [],
  ofBridge: (bridge, name) => textOf(`${INTERFACES}/${bridge}/bridge/${name}`),
};

function textOf(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    // The bridge may have gone since it was listed.
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENODEV') return undefined;
    throw error;
  }
}
