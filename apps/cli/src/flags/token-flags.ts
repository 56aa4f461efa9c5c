import { formatCidr, parseCidr } from '@gwctl/shared/domain/ip';
import { ok, type Result } from '@gwctl/shared/domain/result';
import { value } from '../command/definition.js';
import { parseDurationWithin } from './duration.js';

const parseSource = (text: string): Result<string, string> => {
  const cidr = parseCidr(text);
  return cidr.ok ? ok(formatCidr(cidr.value)) : cidr;
};

/** Flags of what makes a join string. */
export const tokenOptions = {
  tokenTtl: value({
    placeholder: 'DURATION',
    summary: 'How long the join string is good for, 1s to 1h (default 10m)',
    parse: parseDurationWithin(1000, 3_600_000, '1s to 1h'),
  }),
  tokenSource: value({ placeholder: 'CIDR', summary: 'Network that the agent must come from (default any)', parse: parseSource }),
};

/** The same for the control plane, which counts in whole seconds. */
export const tokenRequest = (o: { readonly tokenTtl: number | undefined; readonly tokenSource: string | undefined }) => ({
  ...(o.tokenTtl === undefined ? {} : { ttlSeconds: Math.ceil(o.tokenTtl / 1000) }),
  ...(o.tokenSource === undefined ? {} : { sourceCidr: o.tokenSource }),
});
