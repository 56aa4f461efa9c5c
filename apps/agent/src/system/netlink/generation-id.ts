import { callFailed, type Libc } from './libc.js';
import { dumpRequest, generations, NETLINK_NETFILTER, splitMessages } from './messages.js';

const AF_NETLINK = 16;
const SOCK_RAW_CLOEXEC = 3 | 0o2000000;
const SOL_SOCKET = 1;
const SO_RCVTIMEO = 20;
/** NFNL_SUBSYS_NFTABLES, NFT_MSG_GETGEN (linux/netfilter/nf_tables.h). */
const GET_GENERATION = (10 << 8) | 16;
const NLM_F_REQUEST = 1;
const FLAGS_AT = 6;

/**
 * The kernel's count of committed changes of nftables in this network namespace: every transaction makes it one more, and nothing else
 * does. 32 bits, starts again at 1. Throws SYSTEM_CALL_FAILED where the kernel does not say.
 */
export function readGeneration(libc: Libc): number {
  const fd = libc.socket(AF_NETLINK, SOCK_RAW_CLOEXEC, NETLINK_NETFILTER);
  if (fd < 0) throw callFailed(libc, 'socket');
  try {
    const timeout = Buffer.alloc(16);
    timeout.writeBigInt64LE(1n, 0);
    if (libc.setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, timeout, timeout.length) < 0) throw callFailed(libc, 'setsockopt');
    const request = dumpRequest(GET_GENERATION, Buffer.alloc(4));
    request.writeUInt16LE(NLM_F_REQUEST, FLAGS_AT);
    if (libc.send(fd, request, request.length, 0) < 0) throw callFailed(libc, 'send');
    const answer = Buffer.alloc(4096);
    const length = libc.recv(fd, answer, answer.length, 0);
    if (length < 0) throw callFailed(libc, 'recv');
    const [generation] = generations(splitMessages(answer.subarray(0, length)));
    if (!generation) throw callFailed(libc, 'recv');
    return generation.id;
  } finally {
    libc.close(fd);
  }
}
