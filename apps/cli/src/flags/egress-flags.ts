/** Flags that `egress add` and `egress set` share, and what they say together. */
import { parseEgressSpec, type RawEgressSpec } from '@gwctl/shared/domain/egress';
import { formatCidr, parseCidr } from '@gwctl/shared/domain/ip';
import { parseName, parseText } from '@gwctl/shared/domain/names';
import { err, ok, quote, type Result } from '@gwctl/shared/domain/result';
import { value } from '../command/definition.js';
import { parseSnat, type SnatFlag } from './snat.js';

/** A network, in canonical form; an address stands for itself alone. */
export const parseNetwork = (text: string): Result<string, string> => {
  const cidr = parseCidr(text);
  return cidr.ok ? ok(formatCidr(cidr.value)) : cidr;
};

/** Reads `masquerade` or a fixed source address. */
export function parseEgressSnat(text: string): Result<SnatFlag, string> {
  const snat = parseSnat(text);
  if (snat.ok && (snat.value.mode === 'masquerade' || snat.value.mode === 'address')) return snat;
  return err(`${quote(text)} is not a way to translate; use masquerade, or an address of the gateway, for instance 203.0.113.10`);
}

export const egressOptions = {
  snat: value({
    placeholder: 'masquerade|ADDR',
    summary: "Source address that the outside sees; masquerade takes the interface's own (default masquerade)",
    parse: parseEgressSnat,
    complete: ['masquerade'],
  }),
  description: value({ placeholder: 'TEXT', summary: 'What it is for', parse: parseText }),
  owner: value({ placeholder: 'OWNER', summary: 'Who answers for it', parse: parseText }),
};

export const gatewayOf = {
  placeholder: 'GW',
  summary: 'Gateway that carries the egress',
  parse: parseName,
  complete: 'gateways',
} as const;

/** What takes the place of parts that are not given, of the family of those that are. */
const neutral = (parts: Partial<RawEgressSpec>): RawEgressSpec => {
  const six = [...(parts.sources ?? []), ...(parts.exceptDestinations ?? []), parts.snat?.address ?? ''].some((t) =>
    t.includes(':'),
  );
  return {
    sources: [six ? '2001:db8::/32' : '192.0.2.0/24'],
    outInterface: 'eth0',
    snat: { mode: 'masquerade', address: '' },
    exceptDestinations: [],
    enabled: true,
  };
};

/** Checks the given parts with the same code as the control plane and the agent; the whole is theirs to judge. */
export const checkEgressParts = (parts: Partial<RawEgressSpec>) => parseEgressSpec({ ...neutral(parts), ...parts }, 'spec.');
