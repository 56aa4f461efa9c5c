import { heldAt } from '../../system/sysctl-keys.js';
import type { DriftFound } from '../driver.js';
import { looseSysctls, missingAddresses } from './diff.js';
import type { HostObserved } from './observe.js';
import type { Rendered } from './render.js';

/** What of the host is no longer as it was left. What could not be done in the first place is no drift. */
export function hostDrift({ needs, forwards }: Rendered<unknown>, observed: HostObserved): DriftFound[] {
  const { at, troubles } = observed;
  const found: DriftFound[] = [];
  const lost = missingAddresses(needs, observed).filter((a) => !troubles.addresses.has(a.address.text));
  if (lost.length > 0) {
    const uids = new Map(forwards.map((f) => [f.key, f.uid]));
    for (const { address, interface: name, forwards: keys } of lost)
      found.push({
        forwards: keys.flatMap((k) => uids.get(k) ?? []),
        drift: {
          cause: 'missing',
          object: `address/${address.text}`,
          message: `the virtual address is gone from ${name}, so nobody answers for it`,
          detected: at,
        },
      });
  }
  for (const key of looseSysctls(needs, observed))
    if (!troubles.sysctls.has(key))
      found.push({
        forwards: [],
        drift: {
          cause: 'sysctl',
          object: `sysctl/${key}`,
          message: `is ${observed.sysctls.values.get(key) ?? 'gone'}; it was ${heldAt(key)}`,
          detected: at,
        },
      });
  return found;
}
