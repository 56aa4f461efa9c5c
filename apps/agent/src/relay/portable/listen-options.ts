export interface ListenOptions {
  /** Goes on with that socket. */
  readonly fd?: number;
  /** UDP: stays once it is retired, also without clients, as long as this is so. Default: never. */
  readonly lingers?: () => boolean;
  /**
   * First without SO_REUSEPORT, to be refused where somebody else listens who allows company: with it, both would get clients. False
   * where it is one of this engine that listens on the port, whom the new one is to replace.
   */
  readonly probe: boolean;
  /** Something is wrong with a listener that was open. */
  readonly died: () => void;
}

/** Errno's name. */
export const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? String(error);
