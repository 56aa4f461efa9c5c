/** The rules of one egress. Egresses are few: theirs are not split. */
import { formatCidr } from '@gwctl/shared/domain/ip';
import type { PlacedEgress } from '../../planner/types.js';
import { comment, egressChain, egressMarkChain, SET_MARK } from './layout.js';
import { MASQUERADE, source } from './rules.js';

/**
 * Ports below 1024 are nobody's source: a host inside that sends from port 53 would otherwise take the answers that belong to a
 * forward's listener there.
 */
const PORTS = '1024-65535';

const excepted = ({ key, except }: PlacedEgress): string[] =>
  except.map((cidr) => `${cidr.prefix === 0 ? '' : `-d ${formatCidr(cidr)} `}${comment(key, 'except')} -j RETURN`);

/** nat: leads to {@link translationRules}. */
export const egressJump = ({ key, outInterface }: PlacedEgress): string =>
  `-o ${outInterface} ${comment(key, 'egress')} -j ${egressChain(key)}`;

export function translationRules(egress: PlacedEgress): string[] {
  const { key, snat, sources, family } = egress;
  const rule = (cidr: PlacedEgress['sources'][number], match: string, to: string) =>
    `${source(cidr)}${match}${comment(key, 'out')} -j ${to}`;
  const fixed = snat.mode === 'address' ? snat.address.text : undefined;
  const ported =
    fixed === undefined
      ? `MASQUERADE --to-ports ${PORTS} --random-fully`
      : `SNAT --to-source ${family === 6 ? `[${fixed}]` : fixed}:${PORTS} --random-fully`;
  const other = fixed === undefined ? MASQUERADE : `SNAT --to-source ${fixed} --random-fully`;
  return [
    ...excepted(egress),
    ...sources.flatMap((cidr) => [rule(cidr, '-p tcp ', ported), rule(cidr, '-p udp ', ported), rule(cidr, '', other)]),
  ];
}

/** mangle: leads to {@link markRules}. */
export const egressMarkJump = ({ key, outInterface }: PlacedEgress): string =>
  `-o ${outInterface} ${comment(key, 'egress')} -j ${egressMarkChain(key)}`;

/** A flow with our mark is accepted in the forward hook, here and wherever else somebody filters. */
export const markRules = (egress: PlacedEgress): string[] => [
  ...excepted(egress),
  ...egress.sources.map((cidr) => `${source(cidr)}${comment(egress.key, 'marked')} -j ${SET_MARK}`),
];

/** filter: both directions of its flows, told by where they began. */
export function egressCountRules({ key, sources, outInterface }: PlacedEgress): string[] {
  return sources.flatMap((cidr) => {
    const host = cidr.prefix === (cidr.family === 4 ? 32 : 128);
    const began = `--ctorigsrc ${host ? cidr.network : formatCidr(cidr)}`;
    return [
      `-o ${outInterface} -m conntrack ${began} --ctdir ORIGINAL ${comment(key, 'count')} -j ACCEPT`,
      `-i ${outInterface} -m conntrack ${began} --ctdir REPLY ${comment(key, 'count')} -j ACCEPT`,
    ];
  });
}
