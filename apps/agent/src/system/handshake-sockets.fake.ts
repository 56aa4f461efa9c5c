import type { IpAddress } from '@gwctl/shared/domain/ip';
import type { HandshakeSockets } from './handshake-sockets.js';

type Outcome = { readonly error: string } | { readonly rttUs: number };

/** Sockets of a kernel that answers when a test says so. */
export class FakeHandshakeSockets implements HandshakeSockets {
  readonly #settled = new Map<number, Outcome>();
  #next = 3;
  /** Descriptors that were opened and not closed. */
  readonly held = new Set<number>();
  /** What `open` fails with from now on. */
  failing: string | undefined;

  open(_address: IpAddress, _port: number) {
    if (this.failing) return { error: this.failing };
    const fd = this.#next++;
    this.held.add(fd);
    return { fd };
  }

  settle(fd: number, outcome: Outcome): void {
    this.#settled.set(fd, outcome);
  }

  settled(fds: readonly number[]): number[] {
    for (const fd of fds) if (!this.held.has(fd)) throw new Error(`EBADF: ${fd}`);
    return fds.filter((fd) => this.#settled.has(fd));
  }

  outcome(fd: number): Outcome {
    return this.#settled.get(fd) ?? { error: 'EINPROGRESS' };
  }

  close(fd: number): void {
    if (!this.held.delete(fd)) throw new Error(`EBADF: ${fd}`);
  }
}
