import { LOOPBACK } from '@gwctl/shared/domain/carriers';
import { covers, formatCidr } from '@gwctl/shared/domain/ip';
import { formatPortRange } from '@gwctl/shared/domain/ports';
import { Command } from 'commander';
import type { Policy } from '../../policy/policy.js';
import { readPolicy } from '../../policy/policy-file.js';
import type { Output } from '../output.js';

export function policyCommand(output: Output): Command {
  const check = new Command('check')
    .description('read a policy file and say what it permits')
    .argument('<file>')
    .addHelpText(
      'after',
      `
A policy, every part of which may be left out:

  apiVersion: gwctl/v1
  kind: Policy
  listen:
    interfaces: [enp1s0]        # a forward must name one of them
    ports: [443, 10000-19999]
  targets:
    allow: [192.168.2.0/24]     # the relay may also reach the gateway itself where it is named: 127.0.0.1/32
    forbid: [192.168.2.1/32]    # on top of link-local, and of the gateway and its loopback unless they are named
  maxForwards: 100
  killSwitch: false             # true: no forward at all

Example:
  gwctl-agent policy check /etc/gwctl/policy.yaml`,
    )
    .action(async (file: string) => output.data(describe(await readPolicy(file))));
  return new Command('policy').description('what the administrator of this gateway permits').addCommand(check);
}

/** Whether the relay may reach some of the gateway's loopback. */
const namesLoopback = ({ targets = [] }: Policy): boolean => targets.some((n) => LOOPBACK.some((l) => covers(l, n)));

function describe(policy: Policy): string {
  const or = (list: readonly string[] | undefined, any: string) => (list === undefined ? any : list.join(', ') || 'none');
  return [
    `interfaces    ${or(policy.interfaces, 'any')}`,
    `ports         ${or(policy.ports?.map(formatPortRange), 'any')}`,
    `targets       ${or(policy.targets?.map(formatCidr), 'any')}`,
    `forbidden     ${[...(namesLoopback(policy) ? [] : ['loopback']), 'link-local', ...policy.forbidden.map(formatCidr)].join(', ')}`,
    `most forwards ${policy.maxForwards}`,
    `kill switch   ${policy.killSwitch ? 'ON: no forward is carried' : 'off'}`,
  ].join('\n');
}
