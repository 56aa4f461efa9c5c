import { AppError } from '@gwctl/shared/errors/app-error';
import { ConntrackFlows, type FlowSources, type FlowTable } from './conntrack.js';
import type { Exec } from './exec.js';
import { ConntrackLiveFlows, type LiveFlows } from './live-flows.js';
import { statisticsRequest } from './netlink/conntrack.js';
import { loadLibc } from './netlink/libc.js';
import { NETLINK_NETFILTER } from './netlink/messages.js';
import { NetlinkSocket } from './netlink/socket.js';
import { NetlinkFlows } from './netlink-flows.js';

/** Connection tracking as this host offers it. */
export interface FlowTracking {
  readonly table: FlowTable;
  readonly live: LiveFlows;
  /** Finds out by trying whether flows can be removed, and says how. */
  probe(): Promise<{ readonly supported: boolean; readonly detail: string }>;
}

/** By netlink; where native calls do not work, by /proc and the program `conntrack`. */
export function flowTracking(options: { readonly exec: Exec; readonly sources: FlowSources }): FlowTracking {
  try {
    const libc = loadLibc();
    const flows = new NetlinkFlows({ libc, sources: options.sources });
    return {
      table: flows,
      live: flows,
      probe: async () => {
        try {
          const socket = NetlinkSocket.open(libc, NETLINK_NETFILTER);
          try {
            await socket.dump(statisticsRequest(), () => undefined);
          } finally {
            socket.close();
          }
          return { supported: true, detail: 'flows of changed forwards are found and removed by netlink, of every protocol' };
        } catch (error) {
          return { supported: false, detail: `the kernel does not let flows be listed: ${AppError.from(error).message}` };
        }
      },
    };
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    return {
      table: new ConntrackFlows(options),
      live: new ConntrackLiveFlows(options),
      probe: () => probeProgram(options.exec, error.message),
    };
  }
}

async function probeProgram(exec: Exec, why: string): Promise<{ readonly supported: boolean; readonly detail: string }> {
  try {
    const { exitCode, stderr } = await exec.run({ program: 'conntrack', args: ['-C'] });
    if (exitCode === 0)
      return { supported: true, detail: `flows of changed forwards are removed by the program conntrack, because ${why}` };
    return { supported: false, detail: `conntrack -C failed: ${stderr.trim().slice(0, 200)}` };
  } catch (error) {
    return { supported: false, detail: `${AppError.from(error).message}; ${why}` };
  }
}
