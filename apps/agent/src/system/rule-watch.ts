import { AppError } from '@gwctl/shared/errors/app-error';
import type { Exec } from './exec.js';
import { watchGenerations } from './netlink/generation-watch.js';
import { loadLibc } from './netlink/libc.js';

/** Calls `onChange` with who changed rules, without our own programs; without a name when that is unknown. */
export type RuleWatch = (onChange: (by: { readonly process?: string; readonly pid?: number }) => void) => { close(): void };

/**
 * The kernel announces each change of nftables, and so of iptables-nft, with its author. Says why where that does not work here.
 * Ours are told apart by the netlink port, which is the process id that we know even inside a process namespace.
 */
export function ruleWatch(exec: Pick<Exec, 'isOwn'>): { readonly watch?: RuleWatch; readonly detail: string } {
  const watch: RuleWatch = (onChange) =>
    watchGenerations(loadLibc(), (seen) => {
      if (seen.length === 0) return onChange({});
      for (const { port, pid, process } of seen) if (!exec.isOwn(port)) onChange({ process, pid });
    });
  try {
    watch(() => undefined).close();
    return { watch, detail: 'the kernel announces changes of rules, listened to by trying' };
  } catch (error) {
    return { detail: `changes of rules are only found by reading them back: ${AppError.from(error).message}` };
  }
}
