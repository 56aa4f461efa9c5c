/** What the relay listens on: marked in the input hook, so that it is accepted there, here and wherever else somebody filters. */
import { CHAINS, comment, SET_PACKET_MARK } from './layout.js';
import { hostOf, source } from './rules.js';
import { headerMatch, type TreeLayout } from './tree-chains.js';

export const RELAY_TREE: TreeLayout = {
  root: CHAINS.relay,
  prefix: 'GWCTL-Y-',
  by: 'destination',
  rulesOf: (listener) => {
    const { protocol, ports, family, relayed } = listener;
    if (!relayed) throw new Error(`listener ${listener.id} is not of the relay`);
    const { key, listen, allow } = relayed;
    const match = headerMatch({ network: hostOf(listener), interface: listen.interface, protocol, ports });
    const from = allow?.filter((cidr) => cidr.family === family).map(source) ?? [''];
    // A connection that the kernel carried before may still go on, and a RST of the relay's socket would end it.
    const stray = `${match}-m conntrack --ctstate INVALID ${comment(key, 'stray')} -j DROP`;
    return [
      ...(protocol === 'tcp' ? [stray] : []),
      ...from.map((who) => `${who}${match}${comment(key, 'relay')} -j ${SET_PACKET_MARK}`),
    ];
  },
};
