import type { SnatMode } from '@gwctl/shared/domain/forward';
import { parseIp } from '@gwctl/shared/domain/ip';
import { err, ok, quote, type Result } from '@gwctl/shared/domain/result';

export interface SnatFlag {
  readonly mode: SnatMode;
  /** Set exactly for mode `address`. */
  readonly address?: string;
}

/** Reads `auto`, `masquerade`, `none`, or the fixed source address. */
export function parseSnat(text: string): Result<SnatFlag, string> {
  if (text === 'auto' || text === 'masquerade' || text === 'none') return ok({ mode: text });
  const ip = parseIp(text);
  if (ip.ok) return ok({ mode: 'address', address: ip.value.text });
  return err(
    `${quote(text)} is not a way of source NAT; use auto, masquerade, none, or the source address, for instance 192.168.2.10`,
  );
}
