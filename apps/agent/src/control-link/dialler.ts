import type { Identity } from '../identity/identity.js';
import type { IdentityStore } from '../identity/identity-store.js';
import type { Connect, SessionStream } from './stream.js';

export interface DiallerOptions {
  readonly store: Pick<IdentityStore, 'dropPrevious'>;
  readonly identity: Identity;
  /** The identity before a renewal that was not yet used with success, see {@link IdentityStore}. */
  readonly previous?: Identity | undefined;
  readonly connect: Connect;
}

/** Decides where the next connection goes and who it says it is. */
export class Dialler {
  private identity: Identity;
  private previous: Identity | undefined;
  private attempts = 0;

  constructor(private readonly options: DiallerOptions) {
    this.identity = options.identity;
    this.previous = options.previous;
  }

  /** A renewed identity is used from the next connection on; the one before stays as a way back until that worked. */
  use(renewed: Identity): void {
    this.previous ??= this.identity;
    this.identity = renewed;
    this.attempts = 0;
  }

  get gateway(): string {
    return this.identity.gateway;
  }

  get validity(): Identity['validity'] {
    return this.identity.validity;
  }

  open(): { readonly server: string; readonly stream: SessionStream } {
    const { servers } = this.identity;
    const round = Math.floor(this.attempts / servers.length);
    const server = servers[this.attempts % servers.length];
    if (server === undefined) throw new Error('the identity names no server');
    // Every other round with the old certificate, while there is one: the control plane may never have seen the new one work.
    const identity = this.previous && round % 2 === 1 ? this.previous : this.identity;
    this.attempts++;
    return { server, stream: this.options.connect(server, identity) };
  }

  /** The control plane took who we said we are. */
  async welcomed(): Promise<void> {
    const usedCurrent = !this.previous || Math.floor((this.attempts - 1) / this.identity.servers.length) % 2 === 0;
    this.attempts = 0;
    if (!this.previous || !usedCurrent) return;
    this.previous = undefined;
    await this.options.store.dropPrevious();
  }
}
