/** Where a worker's code is, and what Node.js must be told to run it. */
export interface WorkerEntry {
  readonly url: URL;
  readonly execArgv: readonly string[];
}

/** As compiled: worker.js beside this file. From the sources, as tests run: worker.ts, of which Node.js strips the types by itself. */
export function workerEntry(): WorkerEntry {
  if (!import.meta.url.endsWith('.ts')) return { url: new URL('./worker.js', import.meta.url), execArgv: [] };
  return {
    url: new URL('./worker.ts', import.meta.url),
    execArgv: ['--import', `data:text/javascript,${encodeURIComponent(HOOK)}`],
  };
}

/** Imports among sources name the compiled file. */
const HOOK = `
import { registerHooks } from 'node:module';
registerHooks({
  resolve(name, context, next) {
    const source = name.startsWith('.') && name.endsWith('.js') && context.parentURL?.endsWith('.ts');
    return next(source ? name.slice(0, -2) + 'ts' : name, context);
  },
});`;
