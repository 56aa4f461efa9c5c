import { AppError } from '@gwctl/shared/errors/app-error';

/** Bytes that one session may have on the way. */
const MAX_IN_FLIGHT = 512 * 1024;
/** A reader that takes nothing for this long is cut; it resumes where it was. */
const LAG_BUDGET_MS = 60_000;

/** Where encoded messages go; grpc-js calls back when one has left. */
export type Write = (message: Buffer, written: (error?: Error | null) => void) => void;

/** Sends one message after the other and waits while too much is on the way: a slow reader costs a cursor, not a queue. */
export class Outbound {
  private inFlight = 0;
  private readonly waiting: (() => void)[] = [];
  private closed = false;
  private lag: NodeJS.Timeout | undefined;

  /** @param options.onLag The reader took nothing for too long. */
  constructor(private readonly options: { readonly write: Write; readonly onLag: (error: AppError) => void }) {}

  /** Resolves when the next message may follow. */
  async send(message: Buffer): Promise<void> {
    while (this.inFlight > 0 && this.inFlight + message.length > MAX_IN_FLIGHT && !this.closed)
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    if (this.closed) return;
    this.inFlight += message.length;
    this.watch();
    this.options.write(message, () => {
      this.inFlight -= message.length;
      clearTimeout(this.lag);
      this.lag = undefined;
      if (this.inFlight > 0) this.watch();
      for (const resume of this.waiting.splice(0)) resume();
    });
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.lag);
    for (const resume of this.waiting.splice(0)) resume();
  }

  private watch(): void {
    if (this.closed) return;
    this.lag ??= setTimeout(() => this.options.onLag(lagging()), LAG_BUDGET_MS);
  }
}

const lagging = (): AppError =>
  new AppError({
    code: 'UNAVAILABLE',
    reason: 'READER_TOO_SLOW',
    message: `nothing was read from this session for ${LAG_BUDGET_MS / 1000} s; connect again to go on where it stopped`,
  });
