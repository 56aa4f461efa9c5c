import { Command, InvalidArgumentError, Option } from 'commander';
import { systemClock } from '../clock.js';
import { oneOf } from '../config/words.js';
import { relayPaths } from '../relay/relay-paths.js';
import { requireReadable, stateDir } from '../state-dir/state-dir.js';
import { flowsReport, KERNEL_FLOWS } from './flows-report.js';
import { renderFlows } from './flows-table.js';
import type { Output } from './output.js';
import { stateDirOption } from './shared-options.js';

const FORMATS = ['text', 'json'] as const;

/** Flows. A relay lets go of whoever has it write more than 64 MiB ahead of what is read; this many are about half of that. */
const MOST = 100_000;

interface FlowsFlags {
  readonly stateDir: string;
  readonly most: number;
  readonly output: (typeof FORMATS)[number];
}

export function flowsCommand(output: Output): Command {
  return new Command('flows')
    .description('what flows through the relay now, and what it refused of each forward')
    .argument('[forward]', 'only of this one: its name, or its uid')
    .addOption(stateDirOption())
    .addOption(new Option('--most <n>', `show at most so many flows, up to ${MOST}`).default(100).argParser(parseMost))
    .addOption(new Option('-o, --output <format>', FORMATS.join(' or ')).default('text').argParser(oneOf(FORMATS)))
    .addHelpText('after', HELP)
    .action(async (forward: string | undefined, flags: FlowsFlags) => {
      const dir = stateDir(flags.stateDir);
      await requireReadable(dir);
      const report = await flowsReport({
        paths: relayPaths(dir),
        agent: dir.socket,
        uid: process.getuid?.() ?? 0,
        clock: systemClock,
        most: flags.most,
        ...(forward === undefined ? {} : { forward }),
        talk: (line) => output.talk(line),
      });
      output.data(flags.output === 'json' ? JSON.stringify(report, undefined, 2) : renderFlows(report));
    });
}

const HELP = `
First the flows, TCP connections and UDP clients: the client, the address it came to, the relay's own address towards the target, the
target, how long it has been there, how long nothing moved, and the bytes each way. Then each forward, since the relays that are listed
carry it: flows open now, and since then let in, refused by the allow-list, refused because of a limit, and ended because no target
could be reached. A relay that was replaced, and ends with its last connection, is asked as well.

Forwards that the kernel carries are not shown. Their flows are among those whose destination is translated, by whomever:
  ${KERNEL_FLOWS}
  ${KERNEL_FLOWS} -p tcp --orig-port-dst 443    # to one port of listeners
  ${KERNEL_FLOWS} -f ipv6
and those of egresses among "conntrack -L --src-nat", with the forwards whose targets see another source than the client.

Only root and the relay's own user may ask. Exits with 1 when no relay runs or the forward is not the relay's, with 3 when there is no
such forward, and with 4 when you may not ask.

Examples:
  gwctl-agent flows
  gwctl-agent flows web --most 1000
  gwctl-agent flows -o json | jq '.forwards[] | select(.limited + .failed > 0)'`;

function parseMost(value: string): number {
  const most = /^\d{1,9}$/.test(value) ? Number(value) : 0;
  if (most < 1 || most > MOST) throw new InvalidArgumentError(`Write a whole number from 1 to ${MOST}.`);
  return most;
}
