import { callFailed } from '../errno.js';
import { RLIMIT_NOFILE } from './constants.js';
import type { RelayLibc } from './relay-libc.js';

/** How many descriptors this process may have. Raised to the hard limit, which Node.js has done already unless something lowered it. */
export function descriptorLimit(libc: RelayLibc): number {
  const limits = new BigUint64Array(2);
  const bytes = new Uint8Array(limits.buffer);
  if (libc.prlimit(0, RLIMIT_NOFILE, null, bytes) < 0) throw callFailed(libc, 'prlimit');
  const [soft = 0n, hard = 0n] = limits;
  if (soft >= hard) return count(soft);
  limits[0] = hard;
  return count(libc.prlimit(0, RLIMIT_NOFILE, bytes, null) === 0 ? hard : soft);
}

/** RLIM_INFINITY is cut to what the kernel allows by default (fs.nr_open). */
const count = (limit: bigint): number => (limit > 1_048_576n ? 1_048_576 : Number(limit));
