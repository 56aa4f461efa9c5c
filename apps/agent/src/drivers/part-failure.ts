import { AppError } from '@gwctl/shared/errors/app-error';

/**
 * A plan failed for what the relay carries, and maybe for what the kernel carries too: each is brought in line by itself, and what speaks
 * against the one says nothing of the other. Code and reason are those of the first failure.
 */
export class PartFailure extends AppError {
  /** Undefined where the kernel is as wanted. */
  readonly kernel: Error | undefined;
  readonly relay: AppError;

  constructor(parts: { readonly kernel?: readonly unknown[]; readonly relay: readonly [unknown, ...unknown[]] }) {
    const kernel = together(parts.kernel ?? []);
    const relay = together(parts.relay) ?? AppError.from(parts.relay[0]);
    const { code, reason } = relay;
    super({ code, reason, message: [relay, ...(kernel ? [kernel] : [])].map((e) => e.message).join('; and '), cause: relay });
    this.kernel = kernel;
    this.relay = relay;
  }
}

/** Several failures as one; a single one stays what it is where it can be shown to people. Undefined for none. */
export function together(failures: readonly unknown[]): AppError | undefined {
  const [first, ...more] = failures.map(shown);
  if (!first || more.length === 0) return first;
  const { code, reason } = first;
  const messages = new Set([first, ...more].map((e) => e.message));
  return new AppError({ code, reason, message: [...messages].join('; and '), cause: failures[0] });
}

/** What is no AppError was thrown by this very program on what it saw of the host. */
const shown = (error: unknown): AppError =>
  error instanceof AppError || !(error instanceof Error)
    ? AppError.from(error)
    : new AppError({ code: 'INTERNAL', reason: 'APPLY_FAILED', message: error.message, cause: error });
