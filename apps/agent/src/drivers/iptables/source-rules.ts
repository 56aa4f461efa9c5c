/**
 * A whole address goes both ways: its target also sends from it. Through every interface, or through the listener's where that has one.
 */
import { CHAINS, comment, SET_MARK } from './layout.js';
import type { Listener } from './listener-digits.js';
import { forwardOf, hostOf } from './rules.js';
import { flowSourceMatch, sourceMatch, type TreeLayout } from './tree-chains.js';

/** What the target sends; in the order of iptables-save. */
function leaving(target: Listener): string {
  const { interface: iface } = forwardOf(target).listen;
  return `${sourceMatch({ network: hostOf(target) })}${iface === undefined ? '' : `-o ${iface} `}`;
}

/** A flow with our mark is accepted in the forward hook, here and wherever else somebody filters. */
export const SOURCE_MARK_TREE: TreeLayout = {
  root: CHAINS.sourceMark,
  prefix: 'GWCTL-U-',
  by: 'source',
  rulesOf: (target) => [`${leaving(target)}${comment(forwardOf(target).key, 'source')} -j ${SET_MARK}`],
};

export const SOURCE_SNAT_TREE: TreeLayout = {
  root: CHAINS.sourceSnat,
  prefix: 'GWCTL-V-',
  by: 'source',
  rulesOf: (target) => {
    const { key, listen } = forwardOf(target);
    return [`${leaving(target)}${comment(key, 'source')} -j SNAT --to-source ${listen.address?.text}`];
  },
};

export const SOURCE_COUNT_TREE: TreeLayout = {
  root: CHAINS.countSource,
  prefix: 'GWCTL-W-',
  by: 'flow-source',
  rulesOf: (target) => {
    const { key, listen } = forwardOf(target);
    const began = flowSourceMatch(hostOf(target));
    const counted = `${comment(key, 'count')} -j ACCEPT`;
    if (listen.interface === undefined) return [`${began}${counted}`];
    return [
      `-o ${listen.interface} ${began}--ctdir ORIGINAL ${counted}`,
      `-i ${listen.interface} ${began}--ctdir REPLY ${counted}`,
    ];
  },
};
