import type { JoinToken } from '../context/control-plane.js';
import type { Context } from '../context.js';
import { timeWithDistance } from './description.js';

/** The join string alone on standard output, so that it can go into a file or a pipe; what to do with it on standard error. */
export function printJoinString(context: Context, token: JoinToken): void {
  const until = timeWithDistance(token.expireTime, context.clock.now());
  context.talk(
    `on the gateway, ${until === undefined ? '' : `until ${until}, `}once: gwctl-agent join JOIN-STRING --state-dir DIR`,
  );
  context.print(token.joinString);
}
