import { hostname } from 'node:os';
import { VERSION } from '@gwctl/shared/version';
import { Command } from 'commander';
import { readJoinString } from '../config/options.js';
import { IdentityStore } from '../identity/identity-store.js';
import { join } from '../identity/join.js';
import { GROUP, groupId, makeStateDir, stateDir } from '../state-dir/state-dir.js';
import { lockOrExplain } from '../system/file-lock.js';
import type { Output } from './output.js';
import { stateDirOption } from './shared-options.js';

interface JoinFlags {
  readonly stateDir: string;
  readonly joinStringFile?: string;
  readonly force: boolean;
}

export function joinCommand(output: Output): Command {
  return new Command('join')
    .description('exchange a join string for an identity; the key is made here and never leaves')
    .argument('[join-string]', 'what "gwctl gateway add" printed, or "-" to read it from standard input')
    .addOption(stateDirOption())
    .option('--join-string-file <file>', 'read the join string from a file, so that no process list shows it')
    .option('--force', 'replace the identity that is already there', false)
    .addHelpText(
      'after',
      `
Examples:
  gwctl-agent join gwctl-join-1.WyJ... --state-dir /var/lib/gwctl-agent
  gwctl-agent join --join-string-file /root/join.txt
  ssh operator@desk gwctl gateway add gw1 | gwctl-agent join -`,
    )
    .action(async (argument: string | undefined, flags: JoinFlags) => {
      // The secret need not stand in the process list for as long as the exchange takes.
      if (argument !== undefined && argument !== '-') process.title = 'gwctl-agent join';
      const parsed = await readJoinString(argument, flags.joinStringFile);
      const dir = stateDir(flags.stateDir);
      await makeStateDir(dir, await groupId(GROUP));
      const lock = lockOrExplain(dir.lock, 'stop it before it gets another identity');
      try {
        const identity = await join({
          join: parsed,
          store: new IdentityStore({ stateDir: dir.path }),
          hostname: hostname(),
          agentVersion: VERSION,
          force: flags.force,
        });
        output.talk(
          `joined as gateway ${identity.gateway}; the certificate is good until ${new Date(identity.validity.notAfter).toISOString()} and is renewed by itself`,
        );
        output.talk(`next: gwctl-agent run --state-dir ${dir.path}`);
      } finally {
        lock.release();
      }
    });
}
