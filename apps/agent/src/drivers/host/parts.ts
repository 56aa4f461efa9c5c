import { join } from 'node:path';
import { addressKernel } from '../../system/address-kernel.js';
import { FileAddressRecord } from '../../system/address-record.js';
import { type AddressWatch, addressWatch } from '../../system/address-watch.js';
import { bridgedTraffic } from '../../system/bridged-traffic.js';
import { ConntrackRoomReader } from '../../system/conntrack-room.js';
import type { Exec } from '../../system/exec.js';
import { interfaceForwarding } from '../../system/interface-forwarding.js';
import { HostKernelModules } from '../../system/kernel-modules.js';
import { legacyTables } from '../../system/legacy-tables.js';
import type { Sysctl, SysctlRecord } from '../../system/sysctl.js';
import { SysctlPins } from '../../system/sysctl-pins.js';
import { HostVirtualAddresses } from '../../system/virtual-addresses.js';
import { ProgramForeignNat } from './foreign-nat.js';
import type { HostParts } from './host.js';

export interface FoundHostParts {
  readonly parts: HostParts;
  readonly watch?: AddressWatch;
  /** How changes of addresses are noticed. */
  readonly watchDetail: string;
}

/**
 * The parts of this host. `record` must be the one that forwarding uses: two would overwrite what the other remembers. `generation` is
 * the kernel's count of changes of nftables, or undefined. `now`: milliseconds since the epoch; `monotonic`: of a clock that only goes on.
 */
export function hostParts(options: {
  readonly exec: Exec;
  readonly stateDir: string;
  readonly sysctl: Sysctl;
  readonly record: SysctlRecord;
  readonly generation: () => number | undefined;
  readonly now: () => number;
  readonly monotonic: () => number;
}): FoundHostParts {
  const { exec, stateDir, sysctl, record, generation, now, monotonic } = options;
  const { watch, detail } = addressWatch();
  return {
    parts: {
      addresses: new HostVirtualAddresses({
        kernel: addressKernel(exec),
        record: new FileAddressRecord({ file: join(stateDir, 'addresses.json') }),
      }),
      sysctls: new SysctlPins({ sysctl, record }),
      modules: new HostKernelModules({ exec }),
      room: new ConntrackRoomReader({ now }),
      foreign: new ProgramForeignNat({ exec, generation, legacyTables: (family) => legacyTables(family, 'nat'), now: monotonic }),
      interfaceForwarding,
      bridgedTraffic: bridgedTraffic(),
      now,
    },
    ...(watch ? { watch } : {}),
    watchDetail: detail,
  };
}
