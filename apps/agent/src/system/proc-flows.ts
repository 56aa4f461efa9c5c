import { readFile } from 'node:fs/promises';
import type { FlowSources } from './conntrack.js';

/** The kernel's own files, which show the network namespace of this process. */
export class ProcFlowSources implements FlowSources {
  readonly ownAddresses: () => Promise<ReadonlySet<string>>;

  constructor(options: { readonly ownAddresses: () => Promise<ReadonlySet<string>> }) {
    this.ownAddresses = options.ownAddresses;
  }

  async count(): Promise<number | undefined> {
    const text = await readIfThere('/proc/sys/net/netfilter/nf_conntrack_count');
    return text === undefined ? undefined : Number(text);
  }

  table(): Promise<string | undefined> {
    return readIfThere('/proc/net/nf_conntrack');
  }
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
