import { ok } from '@gwctl/shared/domain/result';
import { type Names, offer } from '../command/completion.js';
import { defineCommand, manyArguments } from '../command/definition.js';
import type { Context } from '../context.js';
import { take } from '../output/view.js';

/** The most names that are offered. */
const MOST = 500;

/** What shells call at the press of a key: one candidate on each line, its summary behind a tab, or `:files`. */
export const complete = defineCommand({
  path: '__complete',
  summary: 'Print what may stand at the end of a command line',
  description: 'For the scripts that "gwctl completion" prints.',
  args: { words: manyArguments({ placeholder: 'WORD', summary: 'The words after gwctl, up to the cursor', parse: ok<string> }) },
  options: {},
  formats: [],
  connects: true,
  examples: [{ says: 'What gwctl knows', command: "gwctl __complete -- ''" }],
  async run(context, { args }) {
    const { commands } = await import('./index.js');
    const offered = await offer(commands, args.words, (of) => namesOf(context, of));
    if (offered.kind === 'files') context.print(':files');
    else for (const { word, summary } of offered.candidates) context.printDocument(`${word}\t${summary}\n`);
  },
});

const namesOf: (context: Context, of: Parameters<Names>[0]) => ReturnType<Names> = async (context, of) => {
  if (of === 'contexts') return (await context.config.read()).contexts.map((c) => c.name);
  const controlPlane = await context.controlPlane();
  const resources = {
    forwards: () => controlPlane.forwards.list({}),
    egresses: () => controlPlane.egresses.list({}),
    gateways: () => controlPlane.gateways.list({}),
  }[of]();
  const { items } = await take<{ readonly metadata: { readonly name: string } }>(resources, MOST);
  return items.map((r) => r.metadata.name);
};
