/** Where the fields of socket(7)'s structures lie on 64-bit Linux, in words of 32 bits unless it says bytes. */

/** struct mmsghdr: what recvmmsg(2) and sendmmsg(2) take an array of. */
export const MESSAGE_BYTES = 64;
export const MESSAGE_WORDS = MESSAGE_BYTES / 4;
export const NAME = 0;
export const NAME_LENGTH = 2;
export const PIECES = 4;
export const PIECE_COUNT = 6;
export const CONTROL = 8;
export const CONTROL_LENGTH = 10;
export const FLAGS = 12;
export const LENGTH = 14;

/** struct iovec. */
export const PIECE_BYTES = 16;
export const PIECE_WORDS = PIECE_BYTES / 4;
export const PIECE_LENGTH = 2;

/** Room for a sockaddr_in6 (28 bytes), which is the longer one. */
export const NAME_BYTES = 32;

/** struct cmsghdr: length (64 bits), level, type; what it carries follows, and the next one begins at a multiple of 8 bytes. */
export const CMSG_HEADER_BYTES = 16;
export const CMSG_LEVEL = 2;
export const CMSG_TYPE = 3;
export const CMSG_DATA = 4;

/** Kernel 4.18: one send, cut into datagrams of a size by the kernel or the network card. */
export const UDP_SEGMENT = 103;
/** Kernel 5.0: datagrams of one flow and size that came together are received together. */
export const UDP_GRO = 104;

/** struct in_pktinfo: interface, the gateway's address that it came to, the address in the packet. Bytes: 12. */
export const PKTINFO4_BYTES = 12;
export const PKTINFO4_LOCAL = 1;
/** struct in6_pktinfo: the address (4 words), interface. Bytes: 20. */
export const PKTINFO6_BYTES = 20;

/** A control message with what follows up to the next one. */
export const cmsgSpace = (bytes: number): number => (CMSG_HEADER_BYTES + bytes + 7) & ~7;
