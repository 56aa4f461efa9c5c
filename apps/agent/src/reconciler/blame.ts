import type { AppError } from '@gwctl/shared/errors/app-error';
import { PartFailure } from '../drivers/part-failure.js';
import type { SituationInput } from './situation.js';

/** Why the placements with these keys are not as wanted: those of the relay for its own reason, where it is the relay that failed. */
export function blame(
  keys: NonNullable<SituationInput['missing']>['keys'],
  failure: AppError,
): NonNullable<SituationInput['missing']> {
  if (!(failure instanceof PartFailure)) return { keys, message: failure.message };
  const { kernel, relay } = failure;
  return { keys, message: (kernel ?? relay).message, relay: { reason: relay.reason, message: relay.message } };
}
