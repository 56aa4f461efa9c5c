import type { DesiredEgress } from '@gwctl/proto/gwctl/agent/v1/agent_pb';
import type { EgressSpec as WireEgressSpec } from '@gwctl/proto/gwctl/v1/egress_pb';
import type { EgressSpec, RawEgressSpec } from '../domain/egress.js';
import { formatCidr } from '../domain/ip.js';
import { snatWords } from './words.js';

/** The wire's egress, as an operator's spec or as an agent's, ready for {@link parseEgressSpec}. */
export function rawEgressSpec(wire: WireEgressSpec | DesiredEgress): RawEgressSpec {
  const { sources, outInterface, snat, exceptDestinations, enabled } = wire;
  return {
    sources,
    outInterface,
    snat: snat && { mode: snatWords.fromWire(snat.mode), address: snat.address },
    exceptDestinations,
    enabled,
  };
}

/** The checked egress as the fields that both wire messages share, in canonical form. */
export function wireEgressSpec({ sources, outInterface, snat, exceptDestinations, enabled }: EgressSpec) {
  return {
    sources: sources.map(formatCidr),
    outInterface,
    snat: { mode: snatWords.toWire(snat.mode), address: snat.mode === 'address' ? snat.address.text : '' },
    exceptDestinations: exceptDestinations.map(formatCidr),
    enabled,
  };
}
