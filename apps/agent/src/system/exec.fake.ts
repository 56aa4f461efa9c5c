import {
  type Command,
  type Conversation,
  type Exec,
  type Finished,
  mustRun,
  programMissing,
  type Ready,
  RecentPids,
  type Running,
} from './exec.js';

export type FakeAnswer = Partial<Finished> | Error;

/** Stands in for processes: answers from a function, or as if the program were not installed; remembers what was asked. */
export class FakeExec implements Exec {
  readonly commands: Command[] = [];
  readonly #answer: (command: Command) => FakeAnswer | undefined;
  readonly #pids = new RecentPids();
  #nextPid = 1000;

  /** `answer` returning undefined means that the program is missing. */
  constructor(options: { readonly answer: (command: Command) => FakeAnswer | undefined }) {
    this.#answer = options.answer;
  }

  start(command: Command): Running {
    this.commands.push(command);
    const answer = this.#answer(command) ?? programMissing(command.program);
    if (answer instanceof Error) return { pid: undefined, finished: Promise.reject(answer) };
    const pid = this.#nextPid++;
    this.#pids.add(pid);
    return { pid, finished: Promise.resolve({ exitCode: 0, stdout: '', stderr: '', ...answer }) };
  }

  /** What is said reaches `answer` as standard input; an exit code other than 0 ends the conversation. */
  converse(command: Parameters<Exec['converse']>[0]): Conversation {
    const conversation = {
      alive: true,
      say: async (stdin: string, untilLine: string): Promise<string> => {
        try {
          const said = { ...command, stdin, untilLine };
          return (await mustRun(this, said)).stdout;
        } catch (error) {
          conversation.alive = false;
          throw error;
        }
      },
    };
    return conversation;
  }

  /** Counts as started when it gets its input. */
  ready(command: Parameters<Exec['ready']>[0]): Ready {
    const ready = {
      alive: true,
      finish: (stdin: string): Promise<Finished> => {
        ready.alive = false;
        return this.run({ ...command, stdin });
      },
    };
    return ready;
  }

  run(command: Command): Promise<Finished> {
    return this.start(command).finished;
  }

  isOwn(pid: number): boolean {
    return this.#pids.has(pid);
  }
}
