import type { ForwardSpec } from '@gwctl/shared/domain/forward';
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
