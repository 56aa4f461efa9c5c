import type { ChildProcess } from 'node:child_process';
import type { Socket } from 'node:net';
import { AppError } from '@gwctl/shared/errors/app-error';
import type { Command, Finished, Ready } from './exec.js';
import { DEFAULT_TIMEOUT_MS, killed, MAX_STDERR_BYTES, startFailed, timedOut } from './exec-errors.js';

/** What a process came to that was given its input. */
interface Given {
  readonly resolve: (finished: Finished) => void;
  readonly reject: (error: AppError) => void;
  readonly timer: NodeJS.Timeout;
}

/** While it waits, it must not keep our process from ending: then its input ends as well, empty, and so does it. */
export class ReadyProcess implements Ready {
  readonly #command: Command;
  readonly #child: ChildProcess;
  /** Undefined where not even pipes could be made. */
  readonly #stdin: Socket | undefined;
  readonly #used: (pid: number) => void;
  #errors = '';
  #given: Given | undefined;
  #over = false;

  constructor(options: {
    readonly command: Command;
    readonly child: ChildProcess;
    readonly used: (pid: number) => void;
  }) {
    const { command, child } = options;
    this.#command = command;
    this.#child = child;
    this.#used = options.used;
    // Node.js makes its pipes sockets, which its types do not say.
    this.#stdin = (child.stdin ?? undefined) as Socket | undefined;
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#errors = (this.#errors + text).slice(0, MAX_STDERR_BYTES);
    });
    // When it ends without reading, its end says more.
    this.#stdin?.on('error', () => undefined);
    child.on('error', (cause) => this.#end(startFailed(command, cause)));
    child.on('close', (code, signal) =>
      this.#end(code === null ? killed(command, signal) : { exitCode: code, stdout: '', stderr: this.#errors }),
    );
    this.#hold(false);
  }

  get alive(): boolean {
    return !this.#over && this.#given === undefined && this.#stdin !== undefined && this.#child.pid !== undefined;
  }

  finish(stdin: string): Promise<Finished> {
    if (!this.alive) throw new Error('it waits no longer; start another');
    this.#used(this.#child.pid ?? 0);
    this.#hold(true);
    const timeout = this.#command.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#child.kill('SIGKILL');
        this.#end(timedOut(this.#command, timeout));
      }, timeout);
      this.#given = { resolve, reject, timer };
      this.#stdin?.end(stdin);
    });
  }

  #hold(on: boolean): void {
    for (const handle of [this.#child, this.#stdin, this.#child.stderr as Socket | null])
      if (on) handle?.ref();
      else handle?.unref();
  }

  #end(how: Finished | AppError): void {
    if (this.#over) return;
    this.#over = true;
    if (!this.#given) return;
    clearTimeout(this.#given.timer);
    if (how instanceof AppError) this.#given.reject(how);
    else this.#given.resolve(how);
  }
}
