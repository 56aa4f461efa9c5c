import type { Family } from '@gwctl/shared/domain/ip';
import { clientMatch } from './client-hash.js';
import { acceptMarked, comment, MARK, SET_MARK, SET_PACKET_MARK, type TableName } from './layout.js';
import { probabilityText } from './rules.js';

/** What a host may lack without being of no use. */
export const FEATURES = ['targets', 'affinity', 'ftp', 'clampMss', 'egress'] as const;
export type Feature = (typeof FEATURES)[number];

export type Trial = Readonly<Partial<Record<TableName, readonly string[]>>>;

/** A rule for each kind of match and target that rendering can use, for detection by trying. */
export function trials(family: Family): { readonly needed: Trial; readonly features: Readonly<Record<Feature, Trial>> } {
  const [host, bits, bracketed] = family === 4 ? ['192.0.2.1', 32, '192.0.2.1'] : ['2001:db8::1', 128, '[2001:db8::1]'];
  const at = `-d ${host}/${bits}`;
  const detect = comment('detect');
  return {
    needed: {
      mangle: [
        `${at} -i lo -p tcp -m tcp --dport 1:2 ${detect} -j DROP`,
        `-p tcp -m conntrack --ctstate INVALID ${detect} -j DROP`,
        `-m addrtype --src-type LOCAL ${detect} -j RETURN`,
        `${detect} -j ${SET_PACKET_MARK}`,
      ],
      filter: [
        `-m connmark --mark ${MARK} ${detect} -j ACCEPT`,
        acceptMarked('detect'),
        `-m conntrack --ctstate DNAT --ctproto 6 --ctorigdst ${host}/16 --ctorigdstport 1:2 ${detect} -j ACCEPT`,
      ],
      nat: [
        `-p udp -m udp --dport 1 -m addrtype --dst-type LOCAL ${detect} -j RETURN`,
        `${detect} -j ${SET_MARK}`,
        // DNAT is valid only below PREROUTING and OUTPUT, the others below POSTROUTING: without a jump to them they are all accepted.
        `-p tcp ${detect} -j DNAT --to-destination ${bracketed}:1`,
        `-p tcp ${detect} -j DNAT --to-destination ${bracketed}:11-12/1`,
        `-p tcp -m conntrack --ctstate DNAT --ctorigdst ${host} --ctorigdstport 1 ${detect} -j MASQUERADE --random-fully`,
        `${detect} -j SNAT --to-source ${host} --random-fully`,
      ],
    },
    features: {
      targets: { nat: [`-m statistic --mode random --probability ${probabilityText(0.5)} ${detect} -j RETURN`] },
      affinity: { nat: [`${clientMatch(family, 1)}${detect} -j RETURN`] },
      ftp: { raw: [`-p tcp -m tcp --dport 1 ${detect} -j CT --helper ftp`] },
      clampMss: { mangle: [`-p tcp -m tcp --tcp-flags SYN,RST SYN ${detect} -j TCPMSS --clamp-mss-to-pmtu`] },
      egress: {
        filter: [`-o lo -m conntrack --ctorigsrc ${host} --ctdir ORIGINAL ${detect} -j ACCEPT`],
        nat: [
          `-p tcp ${detect} -j MASQUERADE --to-ports 1024-65535 --random-fully`,
          `-p tcp ${detect} -j SNAT --to-source ${bracketed}:1024-65535 --random-fully`,
        ],
      },
    },
  };
}
