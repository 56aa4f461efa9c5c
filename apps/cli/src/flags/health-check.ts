import type { HealthCheck } from '@gwctl/shared/domain/forward';
import { parsePort } from '@gwctl/shared/domain/ports';
import { err, ok, quote, type Result } from '@gwctl/shared/domain/result';

/** Reads `auto`, `none`, `tcp`, or `tcp:8081` for a port of the target's that is not the one that traffic goes to. */
export function parseHealthCheck(text: string): Result<HealthCheck, string> {
  if (text === 'auto' || text === 'none' || text === 'tcp') return ok({ mode: text });
  if (!text.startsWith('tcp:')) return err(`${quote(text)} is not a health check; use auto, none, tcp or tcp:PORT`);
  const port = parsePort(text.slice('tcp:'.length));
  return port.ok ? ok({ mode: 'tcp', port: port.value }) : port;
}
