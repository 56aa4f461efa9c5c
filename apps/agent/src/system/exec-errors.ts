import { AppError } from '@gwctl/shared/errors/app-error';
import type { Command, Finished } from './exec.js';

export const DEFAULT_TIMEOUT_MS = 10_000;
export const DEFAULT_OUTPUT_BYTES = 64 << 20;
export const MAX_STDERR_BYTES = 16 << 10;

/** The Debian package that brings each program. */
const PACKAGES: Readonly<Record<string, string>> = {
  conntrack: 'conntrack',
  ip: 'iproute2',
  modprobe: 'kmod',
  iptables: 'iptables',
  'iptables-nft': 'iptables',
  'iptables-nft-save': 'iptables',
  'iptables-nft-restore': 'iptables',
  'iptables-legacy': 'iptables',
  'iptables-legacy-save': 'iptables',
  'iptables-legacy-restore': 'iptables',
  nft: 'nftables',
};

export function commandFailed(command: Command, finished: Finished): AppError {
  const said = finished.stderr.trim().split('\n').slice(0, 5).join('; ').slice(0, 500);
  return new AppError({
    code: 'INTERNAL',
    reason: 'COMMAND_FAILED',
    message: `${show(command)} failed with exit code ${finished.exitCode}${said === '' ? '' : `: ${said}`}`,
    metadata: { program: command.program, exitCode: String(finished.exitCode) },
  });
}

export function programMissing(program: string, cause?: unknown): AppError {
  const name = PACKAGES[program];
  return new AppError({
    code: 'FAILED_PRECONDITION',
    reason: 'PROGRAM_MISSING',
    message: `the program ${program} is not installed; install the Debian package ${name ?? program} (apt-get install ${name ?? program})`,
    metadata: { program },
    cause,
  });
}

const show = (command: Command) => [command.program, ...command.args].join(' ').slice(0, 200);

export function startFailed(command: Command, cause: NodeJS.ErrnoException): AppError {
  if (cause.code === 'ENOENT') return programMissing(command.program, cause);
  return new AppError({
    code: 'UNAVAILABLE',
    reason: 'START_FAILED',
    message: `${command.program} could not be started: ${cause.code ?? cause.message}`,
    cause,
  });
}

export const timedOut = (command: Command, ms: number) =>
  new AppError({
    code: 'DEADLINE_EXCEEDED',
    reason: 'TIMED_OUT',
    message: `${show(command)} did not end within ${ms} ms and was killed; what it was to change may be changed in part`,
  });

export const tooLong = (command: Command, bytes: number) =>
  new AppError({
    code: 'RESOURCE_EXHAUSTED',
    reason: 'OUTPUT_TOO_LONG',
    message: `${show(command)} printed more than ${bytes} bytes and was killed`,
  });

export const killed = (command: Command, signal: string | null) =>
  new AppError({
    code: 'UNAVAILABLE',
    reason: 'PROGRAM_KILLED',
    message: `${show(command)} was ended by ${signal ?? 'a signal'}; what it was to change may be changed in part`,
  });
