import { callFailed } from '../errno.js';
import { NLM_F_REQUEST } from './attributes.js';
import type { Libc } from './libc.js';
import { dumpRequest, generations, NETLINK_NETFILTER } from './messages.js';
import { NetlinkSocket } from './socket.js';

/** NFNL_SUBSYS_NFTABLES, NFT_MSG_GETGEN (linux/netfilter/nf_tables.h). */
const GET_GENERATION = (10 << 8) | 16;
const FLAGS_AT = 6;

/**
 * The kernel's count of committed changes of nftables in this network namespace: every transaction makes it one more, and nothing else
 * does. 32 bits, starts again at 1. Throws SYSTEM_CALL_FAILED where the kernel does not say.
 */
export function readGeneration(libc: Libc): number {
  const socket = NetlinkSocket.open(libc, NETLINK_NETFILTER);
  try {
    const request = dumpRequest(GET_GENERATION, Buffer.alloc(4));
    request.writeUInt16LE(NLM_F_REQUEST, FLAGS_AT);
    socket.send(request);
    const [generation] = generations(socket.receive());
    if (!generation) throw callFailed(libc, 'recv');
    return generation.id;
  } finally {
    socket.close();
  }
}
