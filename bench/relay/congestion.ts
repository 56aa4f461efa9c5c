/** The same congestion control on every host, whatever the machine's is. */
import type { Lab } from '../../test/lab/index.js';
import type { SiteHost } from '../../test/load/site.js';

const SETTING = 'net.ipv4.tcp_congestion_control';
const HOSTS: readonly SiteHost[] = ['client', 'gw1', 'target'];

/**
 * Which one all hosts have then. `inherit` leaves what the machine gave them.
 *
 * @throws Error where this kernel does not offer it to namespaces (net.ipv4.tcp_allowed_congestion_control)
 */
export async function useCongestionControl(lab: Lab<SiteHost>, name: string): Promise<string> {
  if (name !== 'inherit') for (const host of HOSTS) await lab.host(host).sysctl({ [SETTING]: name });
  return lab.host('gw1').readSysctl(SETTING);
}
