import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';

/** What gwctl takes from its environment; nothing else reads it. */
export interface Environment {
  /** Where the contexts are kept. */
  readonly configPath: string;
}

/** `$GWCTL_CONFIG`, else `$XDG_CONFIG_HOME/gwctl/config.yaml`, else `~/.config/gwctl/config.yaml`. */
export function readEnvironment(env: NodeJS.ProcessEnv = process.env): Environment {
  if (env.GWCTL_CONFIG) return { configPath: env.GWCTL_CONFIG };
  // The XDG base directory specification wants relative values ignored.
  const xdg = env.XDG_CONFIG_HOME;
  const base = xdg && isAbsolute(xdg) ? xdg : join(env.HOME || homedir(), '.config');
  return { configPath: join(base, 'gwctl', 'config.yaml') };
}
