import type { PortRange } from '@gwctl/shared/domain/ports';

/** Where a listener on port 0 gets its port from. Once taken, the port is the forward's for good. */
export const POOL: PortRange = { first: 50_000, last: 50_999 };
