import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';

export interface CommandResult {
  /** Exit code; 128 + n where signal n ended it, as a shell says it. */
  code: number;
  stdout: string;
  stderr: string;
}

export interface CommandOptions {
  /** Default 10 000. The command and its process group are killed then, and the call fails. */
  timeoutMs?: number;
  stdin?: string;
  /** The whole environment. */
  env: Record<string, string>;
  /** Return a result with a code other than 0 instead of throwing. Default false. A time-out always throws. */
  allowFailure?: boolean;
  /** The command as errors show it, where `argv` has something in front that the reader did not write. */
  shownAs?: readonly string[];
}

export class CommandError extends Error {
  override readonly name = 'CommandError';
  constructor(
    readonly argv: readonly string[],
    readonly result: CommandResult,
    what: string,
  ) {
    const said = [result.stderr.trim(), result.stdout.trim()].filter(Boolean).join('\n');
    super(`${argv.join(' ')}: ${what}${said ? `\n${said}` : ''}`);
  }
  get code(): number {
    return this.result.code;
  }
  get stdout(): string {
    return this.result.stdout;
  }
  get stderr(): string {
    return this.result.stderr;
  }
}

export const signalNumber: Readonly<Record<string, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGKILL: 9,
  SIGTERM: 15,
  SIGSEGV: 11,
  SIGABRT: 6,
};

/** Starts a program in a process group of its own, so that a kill reaches what it starts. */
export function startProcess(argv: readonly string[], env: Record<string, string>): ChildProcessWithoutNullStreams {
  const [program, ...args] = argv;
  if (program === undefined) throw new Error('empty command');
  return spawn(program, args, { env, detached: true, stdio: 'pipe' });
}

/** Signals a whole process group. One that has ended already is no error. */
export function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Runs a command to its end. */
export function runCommand(argv: readonly string[], options: CommandOptions): Promise<CommandResult> {
  const timeoutMs = options.timeoutMs ?? 10_000;
  const shown = options.shownAs ?? argv;
  return new Promise((resolve, reject) => {
    const child = startProcess(argv, options.env);
    let stdout = '';
    let stderr = '';
    let timedOut = false;
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    // A command that does not read all of its input is judged by its exit code.
    child.stdin.on('error', (error: NodeJS.ErrnoException) => error.code !== 'EPIPE' && reject(error));
    child.stdin.end(options.stdin ?? '');
    const timer = setTimeout(() => {
      timedOut = true;
      if (child.pid !== undefined) signalGroup(child.pid, 'SIGKILL');
      // Something that left the group may hold the pipes open for ever.
      child.stdout.destroy();
      child.stderr.destroy();
    }, timeoutMs);
    child.on('error', (error) => {
      clearTimeout(timer);
      reject(new Error(`${shown.join(' ')}: cannot start: ${error.message}`, { cause: error }));
    });
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      const result = { code: code ?? 128 + (signalNumber[signal ?? ''] ?? 0), stdout, stderr };
      if (timedOut) reject(new CommandError(shown, result, `no end within ${timeoutMs} ms, killed`));
      else if (result.code !== 0 && !options.allowFailure)
        reject(new CommandError(shown, result, signal ? `ended by ${signal}` : `exit code ${result.code}`));
      else resolve(result);
    });
  });
}
