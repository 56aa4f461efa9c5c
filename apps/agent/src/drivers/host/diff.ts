import { contains } from '@gwctl/shared/domain/ip';
import type { AnnouncedAddress } from '../../planner/types.js';
import { heldAt, interfaceKey } from '../../system/sysctl-keys.js';
import { type AddressOn, nameOf, type SeenAddress } from '../../system/virtual-addresses.js';
import type { HostObserved } from './observe.js';
import type { HostNeeds } from './render.js';
import type { AddAddressesStep, AfterStep, BeforeStep, HostPlan, RemoveAddressesStep, SysctlsStep } from './steps.js';

/** What makes the host as it is needed. */
export function hostDiff(needs: HostNeeds, observed: HostObserved): HostPlan {
  const before: BeforeStep[] = [];
  const after: AfterStep[] = [];
  const modules = needs.ftp ? observed.missingModules.filter((name) => mayTry(observed, observed.troubles.modules, name)) : [];
  if (modules.length > 0)
    before.push({ kind: 'host-modules', title: `kernel: load ${modules.join(' and ')}`, forwards: [], names: modules });
  const surplus = surplusAddresses(needs, observed);
  if (surplus.length > 0) before.push(removal(surplus));
  after.push(...sysctls(needs, observed));
  const missing = missingAddresses(needs, observed).filter((a) => mayTry(observed, observed.troubles.addresses, a.address.text));
  const [bound, others] = [missing.filter((a) => a.bound), missing.filter((a) => !a.bound)];
  if (bound.length > 0) before.push(addition(bound));
  if (others.length > 0) after.push(addition(others));
  return { before, after };
}

/** What failed is tried again when everything was just read, not with each change of something else. */
const mayTry = ({ fresh }: HostObserved, failed: ReadonlyMap<string, string>, name: string): boolean =>
  fresh || !failed.has(name);

/** Announced addresses that the host does not have. One that it has by itself, on whichever interface, it also answers for. */
export function missingAddresses({ announced }: HostNeeds, { addresses }: HostObserved): AnnouncedAddress[] {
  if (announced.length === 0) return [];
  const there = new Set(addresses.map(nameOf));
  const own = new Set(addresses.flatMap((a) => (a.ours ? [] : [a.address.text])));
  return announced.filter((a) => !there.has(nameOf(a)) && !own.has(a.address.text));
}

/** Addresses of ours that nothing announces, or not on this interface. */
export function surplusAddresses({ announced }: HostNeeds, { addresses }: HostObserved): SeenAddress[] {
  const ours = addresses.filter((a) => a.ours);
  if (ours.length === 0) return [];
  const wanted = new Set(announced.map(nameOf));
  return ours.filter((a) => !wanted.has(nameOf(a)));
}

/**
 * Parameters that are to be held. The kernel sends redirects where either the interface or all say so, and only out of the interface
 * that a packet came in by: a client that follows one goes to the target past the gateway, which then translates nothing.
 */
export function heldSysctls({ hairpins, exits }: HostNeeds, { addresses }: HostObserved): ReadonlySet<string> {
  if (hairpins.length === 0 && exits.length === 0) return new Set();
  const inNetwork = addresses.filter((a) => hairpins.some((network) => contains(network, a.address)));
  const names = new Set(['all', ...exits, ...inNetwork.map((a) => a.interface)]);
  return new Set([...names].map((name) => interfaceKey(4, name, 'send_redirects')));
}

/** Those that we hold, or are to hold, and that somebody set back. */
export function looseSysctls(needs: HostNeeds, observed: HostObserved): string[] {
  const { values, held } = observed.sysctls;
  const wanted = heldSysctls(needs, observed);
  // Whether it is accepted that routers announce themselves belongs to forwarding, which says when that ends.
  const others = [...held].filter((key) => key.endsWith('.accept_ra'));
  return [...wanted, ...others].filter((key) => {
    const value = values.get(key);
    return value !== undefined && value !== heldAt(key);
  });
}

function sysctls(needs: HostNeeds, observed: HostObserved): SysctlsStep[] {
  const loose = looseSysctls(needs, observed).filter((key) => mayTry(observed, observed.troubles.sysctls, key));
  const wanted = heldSysctls(needs, observed);
  const unneeded = [...observed.sysctls.held].filter((key) => key.endsWith('.send_redirects') && !wanted.has(key));
  const step = (to: SysctlsStep['to'], keys: readonly string[], how: string): SysctlsStep[] =>
    keys.length === 0 ? [] : [{ kind: 'host-sysctls', to, keys, forwards: [], title: `sysctl: ${how} ${some(keys)}` }];
  return [...step('held', loose, 'set'), ...step('restored', unneeded, 'restore')];
}

const removal = (addresses: readonly AddressOn[]): RemoveAddressesStep => ({
  kind: 'host-remove-addresses',
  title: `addresses: remove ${some(addresses.map(onInterface))}`,
  forwards: [],
  addresses,
});

const addition = (addresses: readonly AnnouncedAddress[]): AddAddressesStep => ({
  kind: 'host-add-addresses',
  title: `addresses: add and announce ${some(addresses.map(onInterface))}`,
  forwards: [...new Set(addresses.flatMap((a) => a.forwards))],
  addresses,
});

const onInterface = ({ address, interface: name }: AddressOn): string => `${address.text} on ${name}`;

function some(names: readonly string[]): string {
  const more = names.length > 3 ? ` (and ${names.length - 3} more)` : '';
  return `${names.slice(0, 3).join(', ')}${more}`;
}
