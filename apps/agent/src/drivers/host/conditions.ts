import type { DriverCondition } from '../driver.js';
import { FTP_MODULES, type HostObserved } from './observe.js';
import type { HostNeeds } from './render.js';

/** Above this share of connection tracking's room it is worth telling. */
const NEARLY_FULL = 0.9;

/** What holds of the host beside its rules; of what nobody needs, nothing. `needs`: undefined before anything was ever wanted. */
export function hostConditions(needs: HostNeeds | undefined, observed: HostObserved): DriverCondition[] {
  return [
    ...room(observed),
    ...announced(needs, observed),
    ...ftp(needs, observed),
    ...redirects(needs, observed),
    ...interfaces(observed),
    ...bridges(needs, observed),
    ...foreign(observed),
  ];
}

function room({ room: found }: HostObserved): DriverCondition[] {
  if (!found) return [];
  const type = 'ConntrackRoom';
  const { count, max, refused = 0 } = found;
  const full = `${count} of ${max} flows are tracked`;
  const more = 'raise net.netfilter.nf_conntrack_max, which takes about 400 bytes for each flow';
  if (max > 0 && count > max * NEARLY_FULL)
    return [
      {
        type,
        status: 'false',
        reason: 'NEARLY_FULL',
        message: `${full}; once it is full, packets of new flows are dropped: ${more}`,
      },
    ];
  if (refused > 0)
    return [
      {
        type,
        status: 'false',
        reason: 'FLOWS_REFUSED',
        message: `${refused} flows of the last minute could not be taken up although ${full}: many flows to one target from one source address run out of ports, and a full table of addresses drops; use more source addresses or targets, or ${more}`,
      },
    ];
  return [{ type, status: 'true', reason: 'ENOUGH', message: full }];
}

function announced(needs: HostNeeds | undefined, { troubles }: HostObserved): DriverCondition[] {
  if (!needs || needs.announced.length === 0) return [];
  const type = 'AddressesAnnounced';
  const [first] = troubles.addresses;
  if (first)
    return [
      {
        type,
        status: 'false',
        reason: 'ADDRESS_NOT_ADDED',
        message: `${troubles.addresses.size} of ${needs.announced.length} virtual addresses could not be given to the gateway, for instance ${first[0]}: ${first[1]}`,
      },
    ];
  if (troubles.announcing !== undefined)
    return [
      {
        type,
        status: 'false',
        reason: 'NEIGHBOURS_NOT_TOLD',
        message: `the gateway answers for its virtual addresses, but neighbours that knew them elsewhere learn it only when they ask again: ${troubles.announcing}`,
      },
    ];
  const doubt =
    troubles.record === undefined
      ? ''
      : `; which of the host's addresses are the agent's is not entirely known, because ${troubles.record}`;
  const message = `the gateway answers for ${needs.announced.length} virtual addresses${doubt}`;
  return [{ type, status: 'true', reason: 'ANNOUNCED', message }];
}

function ftp(needs: HostNeeds | undefined, { missingModules, troubles }: HostObserved): DriverCondition[] {
  if (!needs?.ftp) return [];
  const type = 'FtpHelper';
  if (missingModules.length === 0)
    return [{ type, status: 'true', reason: 'READY', message: `the kernel has ${FTP_MODULES.join(' and ')}` }];
  const why = missingModules.map((name) => troubles.modules.get(name) ?? 'not tried yet').join('; ');
  return [
    {
      type,
      status: 'false',
      reason: 'MODULES_MISSING',
      message: `the kernel lacks ${missingModules.join(' and ')} (${why}), so FTP logs in but transfers nothing; install the kernel's extra modules (on Ubuntu linux-modules-extra-$(uname -r)) and run: modprobe ${missingModules.join(' && modprobe ')}. In a container, run it on the host`,
    },
  ];
}

function redirects(needs: HostNeeds | undefined, { troubles }: HostObserved): DriverCondition[] {
  const [first] = troubles.sysctls;
  if (!first || !needs) return [];
  const message = `${first[0]} could not be set: ${first[1]}; clients in a target's own network may be told to go past the gateway`;
  return [{ type: 'RedirectsOff', status: 'false', reason: 'SYSCTL_FAILED', message }];
}

function interfaces({ notForwarding }: HostObserved): DriverCondition[] {
  if (notForwarding.length === 0) return [];
  const names = notForwarding.join(', ');
  const [first = ''] = notForwarding;
  return [
    {
      type: 'InterfacesForward',
      status: 'false',
      reason: 'INTERFACE_OFF',
      message: `the host forwards, but not what comes in by ${names}; if forwards are to be reached there, set ${first}=1, and so on`,
    },
  ];
}

function bridges(needs: HostNeeds | undefined, { bridged }: HostObserved): DriverCondition[] {
  if (!needs || bridged.length === 0) return [];
  const names = [...new Set(bridged.flatMap((b) => b.bridges))].join(', ');
  const settings = bridged.map((b) => b.setting).join(' and ');
  return [
    {
      type: 'BridgedTraffic',
      status: 'false',
      reason: 'TRANSLATED',
      message: `what only passes over ${names} meets the gateway's rules as well: to an address and port that a forward listens on it goes to the forward's target, whoever has the address, and where the agent turned forwarding on, what is for none of them is dropped. Set ${settings} to 0; where Docker or Kubernetes need it, at least name in each forward the interface that it listens on`,
    },
  ];
}

function foreign({ foreign: { trouble } }: HostObserved): DriverCondition[] {
  if (trouble === undefined) return [];
  const message = `whether another tool takes the same listeners is not entirely known: ${trouble}`;
  return [{ type: 'ListenersKnown', status: 'unknown', reason: 'RULES_UNREADABLE', message }];
}
