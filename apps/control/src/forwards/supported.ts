import { type ForwardSpec, familyOf, type RawTrafficSpec } from '@gwctl/shared/domain/forward';
import type { Violation } from '@gwctl/shared/domain/result';
import { AppError } from '@gwctl/shared/errors/app-error';

/** Something that the contract can say and nobody carries out yet. It is refused by name, never accepted and ignored. */
interface Gap {
  readonly field: string;
  readonly asked: (spec: ForwardSpec) => boolean;
  readonly description: string;
}

/** The one list of what is missing: whoever builds one of these deletes its line. */
const GAPS: readonly Gap[] = [
  {
    field: 'spec.gateway_selector',
    asked: (s) => s.on.kind === 'selector',
    description: 'placing by selector is not supported yet; name one gateway, and make one forward for each',
  },
  {
    field: 'spec.listen.protocol',
    asked: (s) => s.listen.protocol === 'tcp+udp',
    description: 'tcp+udp is not supported yet; make one forward for tcp and one for udp',
  },
  {
    field: 'spec.listen.protocol',
    asked: (s) => s.listen.protocol === 'all',
    description: 'protocol all (1:1 NAT of an address) is not supported yet; name tcp or udp and a port',
  },
  {
    field: 'spec.listen.ports',
    asked: (s) => s.listen.ports !== undefined && s.listen.ports.first !== s.listen.ports.last,
    description: 'port ranges are not supported yet; make one forward for each port',
  },
  {
    field: 'spec.listen.announce',
    asked: (s) => s.listen.announce,
    description: 'announcing an address is not supported yet; give the gateway the address itself (ip address add)',
  },
  {
    field: 'spec.targets',
    asked: (s) => s.targets.length > 1,
    description: 'several targets are not supported yet; name one',
  },
  {
    field: 'spec.targets[0].host',
    asked: (s) => s.targets[0]?.host.kind === 'dns',
    description: 'DNS targets are not supported yet; write an IPv4 address',
  },
  {
    field: 'spec.allow_sources',
    asked: (s) => s.allowSources.some((source) => source.kind === 'dns'),
    description: 'DNS names as sources are not supported yet; write CIDRs',
  },
  {
    field: 'spec.listen.address',
    asked: (s) => familyOf(s) === 6 || s.allowSources.some((source) => source.kind === 'cidr' && source.cidr.family === 6),
    description: 'IPv6 is not supported yet; use IPv4 addresses',
  },
  {
    field: 'spec.driver',
    asked: (s) => s.driver === 'relay',
    description: 'the relay is not supported yet; use auto or kernel',
  },
];

/** Refuses a well-formed spec that asks for something nobody carries out yet. */
export function refuseUnsupported(spec: ForwardSpec): void {
  const violations = GAPS.filter((gap) => gap.asked(spec)).map(({ field, description }) => ({ field, description }));
  const [first] = violations;
  if (!first) return;
  throw new AppError({
    code: 'UNIMPLEMENTED',
    reason: 'NOT_SUPPORTED_YET',
    message: `${first.field}: ${first.description}`,
    violations,
  });
}

/** Port 0 asks for a free port of the gateway's pool, which is not there yet: said so, instead of "not a port". */
export function portFromPool(raw: RawTrafficSpec): Violation | undefined {
  if (raw.listen?.ports?.first !== 0 || raw.listen.ports.last !== 0) return undefined;
  return {
    field: 'spec.listen.ports',
    description: '0 (a free port of the gateway) is not supported yet; name a port from 1 to 65535',
  };
}
