import { X509Certificate } from 'node:crypto';
import type { StoredContext } from '../context/config-file.js';
import { fieldLines } from './description.js';
import type { View } from './view.js';

/** A context as it may be shown: its token never is. */
export interface ShownContext {
  readonly apiVersion: 'gwctl/v1';
  readonly kind: 'Context';
  readonly name: string;
  readonly current: boolean;
  readonly server: string;
  /** SHA-256 of the CA's certificate, as lower-case hex digits; the first one's where it is a bundle. */
  readonly caFingerprint: string;
}

export function withoutSecret(stored: StoredContext, current: string | undefined): ShownContext {
  return {
    apiVersion: 'gwctl/v1',
    kind: 'Context',
    name: stored.name,
    current: stored.name === current,
    server: stored.server,
    caFingerprint: fingerprint(stored.ca),
  };
}

/** Of a file that was edited by hand the certificate may be broken; the list must still be shown. */
function fingerprint(pem: string): string {
  try {
    return new X509Certificate(pem).fingerprint256.replaceAll(':', '').toLowerCase();
  } catch (error) {
    return `unreadable: ${error instanceof Error ? error.message : String(error)}`;
  }
}

export const contextView: View<ShownContext> = {
  kind: 'Context',
  plural: 'contexts',
  name: (c) => c.name,
  columns: [
    { title: 'CURRENT', cell: (c) => (c.current ? '*' : ' ') },
    { title: 'NAME', cell: (c) => c.name },
    { title: 'SERVER', cell: (c) => c.server },
    { title: 'CA SHA-256', wide: true, cell: (c) => c.caFingerprint },
  ],
};

export const describeContext = (c: ShownContext, path: string): string[] =>
  fieldLines([
    ['Name', c.name],
    ['Current', c.current ? 'yes' : 'no'],
    ['Server', c.server],
    ['CA SHA-256', c.caFingerprint],
    ['Token', `stored in ${path}, not shown`],
  ]);
